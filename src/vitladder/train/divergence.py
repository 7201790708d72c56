"""When a run has diverged: its loss is not finite, or stays above where it started."""

from __future__ import annotations

import math
from dataclasses import dataclass

# Noise of single batches and a start on a plateau are no divergence.
ABOVE = 1.1
SHARE_OF_RUN = 0.2
LEAST_STEPS = 100


class Diverged(Exception):  # noqa: N818  # a result of a run, not a fault of the program
    """The loss or the gradient is not finite, or the loss has been too high for too long."""


@dataclass
class LossHistory:
    """What must be known of the losses so far; plain numbers, which a checkpoint keeps.

    `start` is the first step's loss, of the untrained model; `below` the last step at whose row
    the mean loss was not above ABOVE times that.
    """

    start: float | None = None
    below: int = 0

    def see(self, step: int, first: float, mean: float, steps: int) -> None:
        """Take the mean loss since the last row, the first of its losses, and the run's steps.

        Raises Diverged for a mean that is not finite, and for one that has been too high in every
        row of a fifth of the run, of LEAST_STEPS at least.
        """
        if not math.isfinite(mean):
            raise Diverged(f"the training loss is {mean} at step {step}")
        if self.start is None:
            self.start = first
        if mean <= ABOVE * self.start:
            self.below = step
        elif step - self.below >= max(LEAST_STEPS, SHARE_OF_RUN * steps):
            raise Diverged(
                f"the training loss is {mean:.4g} at step {step} and has been above the start's "
                f"{self.start:.4g} by more than {ABOVE - 1:.0%} for {step - self.below} steps"
            )
