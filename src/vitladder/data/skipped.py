"""Which images could not be read: each is counted once, and only so many are left out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from vitladder.data.faults import Unreadable
from vitladder.errors import UserError

MOST: Final = 0.01
"""The share of a part's images that may be unreadable: more is no noise, but a wrong data set."""
_NAMED: Final = 5

log = logging.getLogger(__name__)
# Before a run has its log, what is said here shall not appear on the screen.
log.addHandler(logging.NullHandler())


class Skipped:
    """The images of one part that were found unreadable, by their number in stored order.

    With on_error=raise the first one is an error. With skip they are counted: more than MOST of
    all (but one at least), or every one, is an error all the same.
    """

    def __init__(self, part: str, count: int, on_error: str) -> None:
        self._part = part
        self._count = count
        self._raises = on_error == "raise"
        self._numbers: set[int] = set()
        self._first: list[list[str]] = []

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def first(self) -> list[str]:
        """The first few, each with its name and what is wrong with it."""
        return [Unreadable(*named).told for named in self._first]

    def add(self, number: int, fault: Unreadable) -> None:
        """Count an image, or raise its fault; UserError where too many are unreadable."""
        if self._raises:
            raise fault
        if number not in self._numbers:
            self._take([number], [[fault.where, fault.reason]])

    def state_dict(self) -> dict[str, Any]:
        """Return what was found so far, as plain numbers and text."""
        # A copy is taken at once; another thread may find one meanwhile.
        return {"numbers": sorted(self._numbers.copy()), "first": self._first[:_NAMED]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Add what was found before or elsewhere; raises as `add` does."""
        if state["numbers"] and self._raises:
            raise Unreadable(*state["first"][0])
        if not self._numbers.issuperset(state["numbers"]):
            self._take(state["numbers"], state["first"])

    def _take(self, numbers: Sequence[int], named: Sequence[Sequence[str]]) -> None:
        is_first = not self._numbers
        self._numbers.update(numbers)
        known = [where for where, _ in self._first]
        self._first += [[where, why] for where, why in named if where not in known]
        del self._first[_NAMED:]
        most = min(max(1, int(MOST * self._count)), self._count - 1)
        if len(self._numbers) > most:
            raise UserError(
                f"{self._told()}; data.on_error=skip leaves out {MOST:.0%} at most, and never all "
                f"of them: mend the data set"
            )
        if is_first:
            log.warning("data.on_error=skip: %s", self._told())

    def _told(self) -> str:
        return (
            f"at least {len(self):,} of {self._count:,} {self._part} images cannot be read: "
            f"{self.first[0]}"
        )


@dataclass(frozen=True)
class SkippedImages:
    """The training and the held-out images that could not be read."""

    train: Skipped
    val: Skipped

    @classmethod
    def none_yet(cls, train: int, val: int, on_error: str) -> SkippedImages:
        """Return the beginning, for so many training and held-out images."""
        return cls(Skipped("training", train, on_error), Skipped("held-out", val, on_error))

    def state_dict(self) -> dict[str, Any]:
        """Return what was found so far, as plain numbers and text."""
        return {"train": self.train.state_dict(), "val": self.val.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Add what was found before or elsewhere; raises as `Skipped.add` does."""
        self.train.load_state_dict(state["train"])
        self.val.load_state_dict(state["val"])

    def facts(self) -> dict[str, Any]:
        """Return how many images were left out, and the first few, for a run's record."""
        return {
            "data_skipped": {"train": len(self.train), "val": len(self.val)},
            "data_skipped_first": [*self.train.first, *self.val.first],
        }
