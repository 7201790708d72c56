"""Images are decoded by no more threads than the run and its processor allow."""

from __future__ import annotations

import os
import sys
import threading

import numpy as np
import pytest
import torch
from sample_data import sample_images

from vitladder.data.decoder import Decoder
from vitladder.data.pixels import Pixels
from vitladder.data.rows import Row

ALLOWED = 3


@pytest.fixture(autouse=True)
def _many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 8 cores, of which this process may use 3."""
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(ALLOWED)), raising=False)


def assert_threads_that_decode(expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many, and no more: each waits for that number to decode at the same time."""
    together, seen = threading.Barrier(expected), set()

    def meet(raw: bytes, where: str, **options: object) -> Pixels:
        seen.add(threading.get_ident())
        together.wait(timeout=60)
        return np.zeros((1, 1, 1), dtype=np.uint8)

    monkeypatch.setattr("vitladder.data.decoder.decode", meet)
    Decoder(1, 1)([Row(raw, "here", 0, 0) for raw in sample_images(1) * (4 * expected)])
    assert len(seen) == expected


@pytest.mark.parametrize(("threads", "decode"), [(1, 1), (2, 2), (8, ALLOWED)])
def test_decoding_takes_the_threads_of_the_run(
    threads: int, decode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert_threads_that_decode(decode, monkeypatch)


def test_without_torch_it_takes_all_cores_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    assert_threads_that_decode(ALLOWED, monkeypatch)


def test_where_cores_cannot_be_assigned_it_takes_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.delattr(os, "sched_getaffinity")
    assert_threads_that_decode(8, monkeypatch)
