"""What Lightning and torch say of their own code while a run trains, kept off the screen."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# What is said below these levels is of no use to who trains; torch warns that there is no CUDA.
_LEAST_LEVEL = {
    "pytorch_lightning": logging.WARNING,
    "lightning_fabric": logging.WARNING,
    "torch.utils.cpp_extension": logging.ERROR,
    # A checkpoint of FSDP2 over tensor parallelism is gathered in two rounds.
    "torch.distributed.tensor._redistribute": logging.ERROR,
}


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the advice of Lightning and torch.compile about their own code off the screen."""
    loggers = [logging.getLogger(name) for name in _LEAST_LEVEL]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(_LEAST_LEVEL[logger.name])
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\)")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
