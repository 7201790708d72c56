"""The rules of position encodings pass right encodings and catch wrong ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor
from vitladder.plugins.position.relative_bias import RelativeBias
from vitladder.plugins.position.rope_axial import RopeAxial

from vitladder.extend.conformance import check_position
from vitladder.extend.position import Grid, PositionEncoding, TokenShape


class _Grows(RopeAxial):
    """Turns, and lengthens."""

    def rotate(self, q: Tensor, k: Tensor, *args: object, **more: Tensor) -> tuple[Tensor, Tensor]:
        q, k = super().rotate(q, k, *args, **more)  # type: ignore[arg-type]
        return q * (1 + 1e-5), k


class _Coarse(RopeAxial):
    """Turns by angles in q's dtype."""

    def rotate(self, q: Tensor, k: Tensor, *args: object, **more: Tensor) -> tuple[Tensor, Tensor]:
        low = torch.bfloat16 if q.dtype != torch.float64 else torch.float64
        one = torch.ones(1, 1, q.shape[2], q.shape[3], dtype=torch.float64)
        angles = super().rotate(one, one, *args, **more)[0].to(low)  # type: ignore[arg-type]
        return (q * angles).to(q.dtype), (k * angles).to(k.dtype)


class _TurnsAll(RopeAxial):
    """Turns the class token as well."""

    def rotate(self, q: Tensor, k: Tensor, *args: object, **more: Tensor) -> tuple[Tensor, Tensor]:
        q, k = super().rotate(q, k, *args, **more)  # type: ignore[arg-type]
        return q.roll(1, dims=-1), k.roll(1, dims=-1)


class _Absolute(PositionEncoding):
    """Says that it is relative, and adds the row's number."""

    relative: ClassVar[bool] = True

    def bias(
        self, grid: Grid, heads: int, device: torch.device, **parameters: Tensor
    ) -> Tensor | None:
        number = torch.arange(grid[0] * grid[1], dtype=torch.float32)
        return (number * 1e-5).expand(1, heads, len(number), len(number))


class _OneGrid(RelativeBias):
    """Serves the trained grid only."""

    def bias(
        self, grid: Grid, heads: int, device: torch.device, **parameters: Tensor
    ) -> Tensor | None:
        return super().bias((14, 14), heads, device, **parameters)


class _InPlace(PositionEncoding):
    """Adds in place."""

    def embed(self, tokens: Tensor, grid: Grid, **parameters: Tensor) -> Tensor:
        return tokens.add_(1.0)


class _Forgets(PositionEncoding):
    """Has a parameter that nothing uses."""

    def parameters(self, shape: TokenShape) -> dict[str, Tensor]:
        return {"unused": torch.zeros(3)}


@dataclass(frozen=True)
class _Draws(PositionEncoding):
    """Draws anew at every call."""

    def embed(self, tokens: Tensor, grid: Grid, **parameters: Tensor) -> Tensor:
        return tokens + torch.randn_like(tokens)


@pytest.mark.parametrize(
    ("encoding", "rule"),
    [
        (_Grows(), "norms_kept"),
        (_Coarse(), "rounding"),
        (_TurnsAll(), "prefix_untouched"),
        (_Absolute(), "relative_only"),
        (_OneGrid(), "shapes"),
        (_InPlace(), "untouched"),
        (_Forgets(), "finite_gradients"),
        (_Draws(), "deterministic"),
    ],
)
def test_a_wrong_encoding_is_caught(encoding: PositionEncoding, rule: str) -> None:
    found = {finding.rule for finding in check_position(encoding)}
    assert rule in found


def test_an_encoding_that_refuses_is_skipped() -> None:
    class Refuses(RopeAxial):
        def supports(self, shape: TokenShape) -> str | None:
            return "not today"

    [finding] = check_position(Refuses())
    assert (finding.status, finding.reason) == ("skipped", "not today")
