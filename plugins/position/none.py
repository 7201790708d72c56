"""No places: the model sees a bag of patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vitladder.extend.position import PositionEncoding


@dataclass(frozen=True)
class NoPosition(PositionEncoding):
    """No position encoding: what the others are measured against."""

    relative: ClassVar[bool] = True
