"""Folders of images: which of them are splits, which are classes, and which files they hold."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePath

from vitladder.data.splits import SPLIT_NAMES, TRAIN_NAMES, besides_split, split_of
from vitladder.errors import UserError

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")

ClassFiles = list[tuple[str, str]]
"""(file relative to the root, class) of every image, sorted."""


def files_by_split(root: Path, train_split: str | None) -> dict[str, ClassFiles]:
    """Return the images of each split; where the folders are classes, all are training images.

    The folders of the root are splits when the names of all that hold images say so. Raises
    UserError where they could be either, or where none is for training (unless one is asked for).
    """
    folders = sorted(
        entry.name
        for entry in root.iterdir()
        if entry.is_dir() and not hidden(PurePath(entry.name))
    )
    if not any(split_of(folder) for folder in folders):
        return {"train": _class_files(root, root)}
    found = {folder: _class_files(root / folder, root) for folder in folders}
    inside = {
        folder: {name for _, name in files}
        for folder, files in found.items()
        if files or _holds_images(root / folder)
    }
    if not _are_splits(root, inside, train_split):
        return {"train": _class_files(root, root)}
    return _named(
        root,
        {
            folder: files
            for folder, files in found.items()
            if folder in inside or folder.lower() in SPLIT_NAMES
        },
    )


def _are_splits(root: Path, inside: Mapping[str, set[str]], train_split: str | None) -> bool:
    """Return whether folders, given with the names of the folders inside that hold images, are."""
    named = [folder for folder in inside if split_of(folder)]
    if len(named) < len(inside):
        _check_strays(root, inside, named)
        return False
    if train_split is None and all(split_of(folder) != "train" for folder in named):
        raise UserError(
            f"{root} has no training split (its folders: {', '.join(named)}); rename one to "
            f"'train', or choose one with data.train_split=...; if they are classes, put them into "
            f"a folder 'train'"
        )
    return any(inside.values()) or not _could_be_classes(named)


def _check_strays(root: Path, inside: Mapping[str, set[str]], named: list[str]) -> None:
    """Raise UserError where a folder named after a split shares two classes with another one."""
    others = [folder for folder in inside if folder not in named]
    for folder in named:
        shared = [inside[folder] & inside[other] for other in inside if other != folder]
        # One alone, such as 'images', is found in each folder of some sets of classes.
        if any(len(names) > 1 for names in shared):
            raise UserError(
                f"{root / others[0]} belongs to no split, and {', '.join(named)} do; rename it "
                f"after one (train, validation, test) or move it away; if all are classes, put "
                f"them into a folder 'train'"
            )


def _could_be_classes(named: list[str]) -> bool:
    """Return whether names like 'test tube' and 'training shoe' differ in more than the split."""
    besides = [besides_split(folder) for folder in named]
    plain = any(folder.lower() in TRAIN_NAMES for folder in named)
    return not plain and len(set(besides)) == len(besides)


def _named(root: Path, found: Mapping[str, ClassFiles]) -> dict[str, ClassFiles]:
    """Return the files by split: by its name in lower case, or by the split that it stands for."""
    folders: dict[str, str] = {}
    for folder in found:
        exact = folder.lower() in SPLIT_NAMES
        split = folder.lower() if exact else str(split_of(folder))
        other = folders.setdefault(split, folder)
        if other != folder:
            raise UserError(
                f"{root} has two folders for the split '{split}' ({other}, {folder}); rename one"
            )
    return {split: found[folder] for split, folder in folders.items()}


def _class_files(base: Path, root: Path) -> ClassFiles:
    """Return the images below `base`, whose folders are the classes."""
    files = []
    for entry in sorted(base.iterdir()):
        if entry.is_dir():
            for folder, _, names in os.walk(entry):
                inside = [Path(folder, name).relative_to(root) for name in names]
                files += [(file.as_posix(), entry.name) for file in inside if _is_image(file)]
    return sorted(files)


def _holds_images(folder: Path) -> bool:
    return any(_is_image(PurePath(file.name)) for file in folder.iterdir())


def _is_image(file: PurePath) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES and not hidden(file)


def hidden(file: PurePath) -> bool:
    """Return whether a relative path is one that other programs keep for themselves."""
    return any(part.startswith((".", "__")) for part in file.parts)
