"""The loopback server of W&B, for the tests of this folder."""

from wandb_server import server

__all__ = ["server"]
