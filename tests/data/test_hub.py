"""A data set of a hub, here a local folder of one, is read as our own reader reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sample_data import data_config, sample_folder, sample_parquet, source

from vitladder.errors import UserError


def test_a_local_data_set_of_hugging_face_is_read_whole(tmp_path: Path) -> None:
    sample_parquet(tmp_path / "set", train=12, val=6)
    cache = str(tmp_path / "cache")
    hub = source(data_config("hub", tmp_path / "set", cache=cache))
    own = source(data_config("parquet", tmp_path / "set"))
    assert hub.classes == own.classes
    for part, other in ((hub.train, own.train), (hub.val, own.val)):
        assert np.array_equal(part.labels, other.labels)
        assert list(part.rows.scan(part.indices)) == list(other.rows.scan(other.indices))


def test_a_local_folder_of_image_files_is_read_by_hugging_face(tmp_path: Path) -> None:
    sample_folder(tmp_path / "set", {"train": 6, "val": 4}, ["dog", "cat"])
    hub = source(data_config("hub", tmp_path / "set", cache=str(tmp_path / "cache")))
    own = source(data_config("imagefolder", tmp_path / "set"))
    assert hub.classes == own.classes
    assert sorted(hub.val.rows.scan(hub.val.indices)) == sorted(own.val.rows.scan(own.val.indices))


def test_what_hugging_face_cannot_load_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"^data.path=.*cannot be loaded by Hugging Face") as caught:
        source(data_config("hub", tmp_path / "empty", cache=str(tmp_path / "cache")))
    assert "\n" not in str(caught.value)
