"""Which images train and which are held out: never the same ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np

from vitladder.config import DataConfig
from vitladder.data.draws import HOLD_OUT, IntArray, draws
from vitladder.errors import UserError, unknown

HELD_OUT_NAMES = ("validation", "val", "valid", "test", "dev")

# The words and the separators of Hugging Face datasets (its SPLIT_KEYWORDS and NON_WORDS_CHARS).
_KEYWORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
TRAIN_NAMES = _KEYWORDS["train"]
SPLIT_NAMES = tuple(name for names in _KEYWORDS.values() for name in names)
_HOLD_OUT_SEED = 0


def split_of(name: str) -> str | None:
    """Return the split that a file or folder name stands for, as `datasets` names it, or None."""
    words = re.split(r"[-._ 0-9]+", name)
    for split, keywords in _KEYWORDS.items():
        if any(keyword in words for keyword in keywords):
            return split
    return None


def by_split(files: Sequence[PurePath]) -> dict[str, list[PurePath]]:
    """Return the files (relative paths) of each split: by folder names, else by file names.

    Where nothing names a split, all files are training files, as in Hugging Face `datasets`.
    """
    in_folders = _sorted_out([(file, file.parts[:-1]) for file in files])
    in_names = _sorted_out([(file, file.parts[-1:]) for file in files])
    return in_folders or in_names or {"train": list(files)}


def _sorted_out(files: list[tuple[PurePath, tuple[str, ...]]]) -> dict[str, list[PurePath]]:
    splits: dict[str, list[PurePath]] = {split: [] for split in _KEYWORDS}
    for file, parts in files:
        for split in {split_of(part) for part in parts} - {None}:
            splits[str(split)].append(file)
    return {split: found for split, found in splits.items() if found}


def choose(splits: Sequence[str], config: DataConfig, where: str) -> tuple[str, str | None]:
    """Return the training split and the held-out split, None when one has to be made.

    Raises UserError for a split that does not exist, with those that do.
    """
    usual = [name for name in TRAIN_NAMES if name in splits]
    train = config.train_split or (usual or list(splits))[0]
    if config.train_split is None and not usual and len(splits) > 1:
        raise UserError(
            f"{where} has no split 'train'; name one with data.train_split=... "
            f"(have: {', '.join(splits)})"
        )
    if train not in splits:
        raise unknown(f"split in {where} called", train, splits)
    held_out = config.val_split
    if held_out is not None and held_out not in splits:
        raise unknown(f"split in {where} called", held_out, splits)
    if held_out == train:
        raise UserError(
            f"data.val_split={held_out} is the training split; held-out images must be others"
        )
    if held_out is None:
        others = [name for name in HELD_OUT_NAMES if name in splits and name != train]
        held_out = others[0] if others else None
    if held_out is None and config.streaming:
        raise UserError(
            f"{where} has no held-out split (have: {', '.join(splits)}), and a stream cannot be "
            f"divided; name one with data.val_split=..., or leave data.streaming=false"
        )
    if held_out is None and not 0 < config.val_fraction < 1:
        raise UserError(
            f"{where} has no held-out split (have: {', '.join(splits)}), and "
            f"data.val_fraction={config.val_fraction:g} makes none; give one between 0 and 1"
        )
    return train, held_out


def held_out_count(class_count: int, fraction: float) -> int:
    """Return how many images of a class are held out: at least one, and never all."""
    return min(max(1, int(fraction * class_count + 0.5)), class_count - 1)


def hold_out(labels: IntArray, fraction: float) -> tuple[IntArray, IntArray]:
    """Return the rows that train and the rows held out, both ascending: the same at every call.

    Of each class the rows with the smallest random numbers are held out; a class of one image
    stays in training.
    """
    words = draws(_HOLD_OUT_SEED, HOLD_OUT, np.arange(labels.size))
    held = np.zeros(labels.size, dtype=bool)
    for number in np.unique(labels):
        rows = np.flatnonzero(labels == number)
        order = np.argsort(words[rows], kind="stable")
        held[rows[order[: held_out_count(rows.size, fraction)]]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def hold_out_note(train: str, fraction: float) -> str:
    """Return the sentence that says that a held-out split was made."""
    return (
        f"no held-out split: {100 * fraction:g} % of each class of {train} held out "
        f"(seed {_HOLD_OUT_SEED})"
    )
