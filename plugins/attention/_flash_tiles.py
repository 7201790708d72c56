"""Block sizes, warps and stages of the flash kernels: one small table per architecture.

Nothing is tuned when a model runs: `make kernels` compiles every row, and tests/attention holds
that none spills registers or passes the shared memory of its devices.
"""

from __future__ import annotations

from typing import NamedTuple


class Tile(NamedTuple):
    """One program's block of queries and of keys, and how the compiler lays it out."""

    block_m: int
    block_n: int
    warps: int
    stages: int = 2


class Row(NamedTuple):
    """The tiles of one kernel: 16-bit elements with head_dim up to 64 and 128, then float32."""

    half_64: Tile
    half_128: Tile
    float_64: Tile
    float_128: Tile


FLOAT, FLOAT_SMALL = Tile(32, 16, 4), Tile(16, 16, 4)
ROWS = Tile(64, 16, 4)
"""delta has no keys; its block_n is not read."""
AMD_FLOAT = Tile(32, 32, 4, 1)
WIDE, TALL = Tile(128, 64, 4), Tile(64, 128, 4)

TILES: dict[str, dict[str, Row]] = {
    # 8.x and 12.x: shared memory from 99 KiB (8.6, 8.9, 12.0) to 163 KiB (8.0); fits the least.
    "sm_80": {
        "forward": Row(Tile(128, 64, 8), Tile(128, 32, 8), FLOAT, FLOAT_SMALL),
        "delta": Row(ROWS, ROWS, ROWS, ROWS),
        "dkdv": Row(Tile(32, 64, 8), Tile(32, 64, 8), FLOAT, FLOAT),
        "dq": Row(Tile(64, 64, 8), Tile(64, 32, 4), FLOAT, FLOAT),
        "dbias": Row(Tile(64, 32, 4), Tile(32, 64, 4), FLOAT, FLOAT),
    },
    "sm_90": {
        "forward": Row(Tile(128, 64, 8), Tile(64, 64, 8), FLOAT, FLOAT_SMALL),
        "delta": Row(ROWS, ROWS, ROWS, ROWS),
        "dkdv": Row(Tile(64, 64, 8), Tile(32, 64, 8), FLOAT, FLOAT),
        "dq": Row(Tile(128, 64, 8), Tile(64, 32, 8), FLOAT, FLOAT),
        "dbias": Row(Tile(64, 64, 8), Tile(64, 64, 8), FLOAT, FLOAT),
    },
    "sm_100": {
        "forward": Row(Tile(128, 64, 8), Tile(128, 32, 8), FLOAT, FLOAT_SMALL),
        "delta": Row(ROWS, ROWS, ROWS, ROWS),
        "dkdv": Row(Tile(64, 64, 8), Tile(64, 64, 8), FLOAT, FLOAT),
        "dq": Row(Tile(64, 64, 8), Tile(64, 64, 8), FLOAT, FLOAT),
        "dbias": Row(Tile(64, 64, 8), Tile(64, 64, 8), FLOAT, FLOAT),
    },
    "gfx942": {
        "forward": Row(Tile(64, 64, 4), Tile(64, 64, 4), AMD_FLOAT, AMD_FLOAT),
        "delta": Row(ROWS, ROWS, ROWS, ROWS),
        "dkdv": Row(Tile(32, 64, 4), Tile(32, 64, 4), AMD_FLOAT, AMD_FLOAT),
        "dq": Row(Tile(64, 32, 4), Tile(64, 32, 4), AMD_FLOAT, AMD_FLOAT),
        "dbias": Row(Tile(64, 32, 4), Tile(64, 32, 4), AMD_FLOAT, AMD_FLOAT),
    },
    # Large tiles, since Python's time is per operation; unequal sides tell M from N.
    "interpreter": {
        "forward": Row(WIDE, WIDE, WIDE, WIDE),
        "delta": Row(WIDE, WIDE, WIDE, WIDE),
        "dkdv": Row(TALL, TALL, TALL, TALL),
        "dq": Row(WIDE, WIDE, WIDE, WIDE),
        "dbias": Row(WIDE, WIDE, WIDE, WIDE),
    },
}


def pick_tile(architecture: str, kernel: str, element_size: int, head_dim: int) -> Tile:
    """Return the tile of the table."""
    row = TILES[architecture][kernel]
    small, large = row[:2] if element_size == 2 else row[2:]
    return small if head_dim <= 64 else large


def padded(head_dim: int) -> int:
    """Return the head_dim of a tile: the next power of two, at least the 16 of a matrix unit."""
    return max(16, 1 << (head_dim - 1).bit_length())
