"""Images are decoded by no more threads than the run and its processor allow."""

from __future__ import annotations

import os
import sys
import threading
import time

import numpy as np
import pytest
import torch
from sample_data import sample_images

from vitladder.data.images import Decoder
from vitladder.data.pixels import Pixels

ALLOWED = 3


@pytest.fixture(autouse=True)
def _many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 8 cores, of which this process may use 3."""
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(ALLOWED)), raising=False)


def threads_that_decode(monkeypatch: pytest.MonkeyPatch) -> int:
    seen = set()

    def slow(raw: bytes, where: str, **options: object) -> Pixels:
        seen.add(threading.get_ident())
        time.sleep(0.001)
        return np.zeros((1, 1, 1), dtype=np.uint8)

    monkeypatch.setattr("vitladder.data.images.decode", slow)
    Decoder(1, 1)([(raw, "here") for raw in sample_images(1) * 32])
    return len(seen)


@pytest.mark.parametrize(("threads", "decode"), [(1, 1), (2, 2), (8, ALLOWED)])
def test_decoding_takes_the_threads_of_the_run(
    threads: int, decode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert threads_that_decode(monkeypatch) == decode


def test_without_torch_it_takes_all_cores_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    assert threads_that_decode(monkeypatch) == ALLOWED


def test_where_cores_cannot_be_assigned_it_takes_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.delattr(os, "sched_getaffinity")
    assert threads_that_decode(monkeypatch) == 8
