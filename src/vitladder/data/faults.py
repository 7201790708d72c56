"""An image that cannot be read: what is wrong with it, where it lies, and what would be right."""

from __future__ import annotations

from vitladder.errors import UserError


class Unreadable(UserError):  # noqa: N818  # also a value: what lies in the place of an image
    """One image cannot be read: an error, or where images are skipped one that is left out."""

    def __init__(self, where: str, reason: str) -> None:
        """Name the image by its file and row, and say why."""
        # Both are arguments of the exception, so that it can be sent to another process.
        super().__init__(where, reason)
        self.where = where
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.told}; mend or remove it, or leave it out with data.on_error=skip"

    @property
    def told(self) -> str:
        """Which image, and why."""
        return f"{self.where}: {self.reason}"
