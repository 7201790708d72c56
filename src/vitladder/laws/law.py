"""What every scaling law is: a formula over columns, its parameters' names, and its model.

A law works in logs of its columns, centred at `centres` (the means of the logs), so that its
parameters are about equally scaled; `natural` turns them into the formula's own letters, in the
units of the columns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from vitladder.laws.criterion import Matrix, Vector
from vitladder.laws.model import Model
from vitladder.laws.newton import GONE

MIN_EXPONENT, MAX_EXPONENT = 1e-4, 5.0  # beyond them a power is a constant or a step
LARGEST_LOG = 700.0  # beyond it an exponential overflows: such a coefficient is refused anyway


class NoLaw(Exception):  # noqa: N818  it is a finding about the runs, not a programming error
    """These runs do not determine the law; the message says why in one line."""


class Law(ABC):
    """One formula; a subclass is one file, with its formula, gradient and source."""

    name: ClassVar[str]  # as --law takes it
    refined: ClassVar[int] = 8  # starts that are followed down: more where optima are many

    @property
    @abstractmethod
    def formula(self) -> str:
        """In the letters of `letters` and the columns of `inputs`."""

    @property
    @abstractmethod
    def inputs(self) -> tuple[str, ...]:
        """The columns, in the order that `model` takes them."""

    @property
    @abstractmethod
    def letters(self) -> tuple[str, ...]:
        """The names of the natural parameters."""

    @abstractmethod
    def model(self, log_columns: Matrix) -> Model:
        """The law at rows; `log_columns`: centred logs [inputs, rows]."""

    @abstractmethod
    def natural(self, theta: Matrix, centres: Vector) -> Matrix:
        """The natural parameters [fits, letters] at theta, for columns centred at `centres`."""

    def refuse(self, natural: Vector, reach: Matrix) -> str | None:
        """Why an optimum is no law (a term that is gone, an exponent that runs away), or None.

        `reach`: the smallest and the largest value of each column in the runs [inputs, 2].
        """
        return None

    def params(self, natural: Vector) -> dict[str, Any]:
        """The natural parameters by their letters."""
        return {name: float(x) for name, x in zip(self.letters, natural, strict=True)}

    def tied(self, theta: Vector, log_columns: Matrix) -> Vector | None:
        """A theta of nearly this fit at which two terms are one and the same, or None.

        Where columns follow from each other, terms of them can be swapped, and how ill-conditioned
        the law is shows only there.
        """
        return None


def coefficient(log: Vector, shift: Vector | float = 0.0) -> Vector:
    """exp(log + shift), without overflow, and exactly 0 for a coefficient that is gone."""
    logs = np.clip(log + shift, -LARGEST_LOG, LARGEST_LOG)
    return np.asarray(np.where(log <= GONE, 0.0, np.exp(logs)))
