"""Which images train and which are held out: never the same ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np

from vitladder.config import DataConfig
from vitladder.data.draws import HOLD_OUT, IntArray, draws
from vitladder.errors import UserError, unknown

# The words and the separators of Hugging Face datasets (its SPLIT_KEYWORDS and NON_WORDS_CHARS).
_KEYWORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
TRAIN_NAMES = _KEYWORDS["train"]
HELD_OUT_NAMES = (*_KEYWORDS["validation"], *_KEYWORDS["test"])
SPLIT_NAMES = (*TRAIN_NAMES, *HELD_OUT_NAMES)
_HOLD_OUT_SEED = 0


def split_of(name: str) -> str | None:
    """Return the split that a file or folder name stands for, in upper or lower case, or None."""
    words = _words(name)
    for split, keywords in _KEYWORDS.items():
        if any(keyword in words for keyword in keywords):
            return split
    return None


def besides_split(name: str) -> tuple[str, ...]:
    """Return the words of a name that stand for no split."""
    return tuple(word for word in _words(name) if word and word not in SPLIT_NAMES)


def _words(name: str) -> list[str]:
    return re.split(r"[-._ 0-9]+", name.lower())


def by_split(files: Sequence[PurePath]) -> dict[str, list[PurePath]]:
    """Return the files (relative paths) of each split: each file is in one.

    The deepest folder that names a split counts, else the file's own name. Where nothing names a
    split, all files are training files. Raises UserError when only some files are in a split.
    """
    found = {file: _split_of_file(file) for file in files}
    lost = [file for file, split in found.items() if split is None]
    if len(lost) == len(files):
        return {"train": list(files)}
    if lost:
        raise UserError(
            f"{lost[0]} belongs to no split, and other files do; name it, or its folder, after "
            f"one (train, validation, test), or move it away"
        )
    return {
        split: [file for file in files if found[file] == split]
        for split in _KEYWORDS
        if split in found.values()
    }


def _split_of_file(file: PurePath) -> str | None:
    splits = (split_of(part) for part in (*reversed(file.parts[:-1]), file.name))
    return next((split for split in splits if split is not None), None)


def choose(splits: Sequence[str], config: DataConfig, where: str) -> tuple[str, str | None]:
    """Return the training split and the held-out split, None when one has to be made.

    Raises UserError for a split that does not exist, with those that do.
    """
    train = _training_split(splits, config, where)
    held_out = _stored_held_out(splits, train, config, where)
    if held_out is None:
        _check_can_hold_out(splits, config, where)
    return train, held_out


def _training_split(splits: Sequence[str], config: DataConfig, where: str) -> str:
    usual = [name for name in TRAIN_NAMES if name in splits]
    if config.train_split is None and not usual and len(splits) > 1:
        raise UserError(
            f"{where} has no split 'train'; name one with data.train_split=... "
            f"(have: {', '.join(splits)})"
        )
    train = config.train_split or (usual or list(splits))[0]
    if train not in splits:
        raise unknown(f"split in {where} called", train, splits)
    return train


def _stored_held_out(
    splits: Sequence[str], train: str, config: DataConfig, where: str
) -> str | None:
    held_out = config.val_split
    if held_out is None:
        others = [name for name in HELD_OUT_NAMES if name in splits and name != train]
        return others[0] if others else None
    if held_out not in splits:
        raise unknown(f"split in {where} called", held_out, splits)
    if held_out == train:
        raise UserError(
            f"data.val_split={held_out} is the training split; held-out images must be others"
        )
    return held_out


def _check_can_hold_out(splits: Sequence[str], config: DataConfig, where: str) -> None:
    """Raise UserError where no held-out split is stored and none can be made."""
    if config.streaming:
        raise UserError(
            f"{where} has no held-out split (have: {', '.join(splits)}), and a stream cannot be "
            f"divided; name one with data.val_split=..., or leave data.streaming=false"
        )
    if not 0 < config.val_fraction < 1:
        raise UserError(
            f"{where} has no held-out split (have: {', '.join(splits)}), and "
            f"data.val_fraction={config.val_fraction:g} makes none; give one between 0 and 1"
        )


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
