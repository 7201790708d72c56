"""Tables and sources that `vitladder fit` refuses in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fit_tables import HEAD, isoflop_rows, write

from vitladder.cli import main

GOOD = isoflop_rows()


def changed(row: int, column: int, value: Any) -> list[list[Any]]:
    rows = [list(one) for one in GOOD]
    rows[row][column] = value
    return rows


BAD: list[tuple[str, list[list[Any]], tuple[str, ...], tuple[str, ...], str]] = [
    ("negative", changed(3, 4, -1), HEAD, (), "column loss, row 4: not positive ('-1')"),
    ("zero size", changed(0, 1, 0), HEAD, (), "column n_params, row 1: not positive"),
    ("nan", changed(2, 4, "nan"), HEAD, (), "column loss, row 3: not finite"),
    ("infinite", changed(2, 3, "inf"), HEAD, (), "column flops, row 3: not finite"),
    ("text", changed(5, 2, "many"), HEAD, (), "column images, row 6: not a number ('many')"),
    ("empty", changed(5, 2, ""), HEAD, (), "column images, row 6: not a number (empty)"),
    ("twice", [*GOOD, GOOD[4]], HEAD, (), "row 5 and row 21 are one run: the same run"),
    ("few", GOOD[:5], HEAD, ("--law", "parametric"), "need at least 6 runs, there are 5"),
    ("one budget", GOOD[:5], HEAD, ("--law", "isoflop"), "one budget only"),
    (
        "no column",
        GOOD,
        ("run", "n", "images", "flops", "loss"),
        ("--law", "parametric"),
        "'n_params'",
    ),
    ("no loss", GOOD, (*HEAD[:4], "y"), (), "runs.csv: no column 'loss'"),
    ("law", GOOD, HEAD, ("--law", "parametic"), "did you mean 'parametric'"),
    ("loss", GOOD, HEAD, ("--loss", "hubert"), "did you mean 'huber'"),
    ("residual", GOOD, HEAD, ("--residual", "lin"), "(have: linear, log)"),
    ("delta", GOOD, HEAD, ("--delta", "0"), "delta is 0: give a number above 0"),
    ("filter", GOOD, HEAD, ("--where", "flops"), "is no filter"),
    ("nothing left", GOOD, HEAD, ("--where", "flops>1e99"), "no row has flops>1e99"),
    ("nothing held", GOOD, HEAD, ("--hold-out", "flops>1e99"), "nothing to hold out"),
    ("all held", GOOD, HEAD, ("--hold-out", "flops>1"), "no row is left to fit"),
    ("by", GOOD, HEAD, ("--by", "task"), "column 'task'"),
    ("column", GOOD, HEAD, ("--column", "loss"), "write NEW=OLD"),
    ("scale", GOOD, HEAD, ("--scale", "flops=x"), "'x' is no number"),
    ("scale 0", GOOD, HEAD, ("--scale", "flops=0"), "give a number above 0"),
    ("flops-per", GOOD, HEAD, ("--flops-per", "6*N*D"), "and none is missing"),
    ("product", GOOD, HEAD, ("--flops-per", "6ND"), "is no product"),
    ("bootstrap", GOOD, HEAD, ("--bootstrap", "-1"), "bootstrap is -1"),
    ("terms", GOOD, HEAD, ("--law", "zhai", "--terms", "flops,images"), "a law of one column"),
    ("rate", changed(0, 4, 1.5), (*HEAD[:4], "error"), (), "column error, row 1, row 2"),
    ("drop", GOOD, HEAD, ("--drop-worst", "99"), "no row is left to fit"),
    ("option", GOOD, HEAD, ("--lwa", "m1"), "unrecognized arguments: --lwa"),
]


@pytest.mark.parametrize(
    ("rows", "head", "options", "said"), [one[1:] for one in BAD], ids=[one[0] for one in BAD]
)
def test_bad_input_is_one_line_and_exit_code_2(
    rows: list[list[Any]],
    head: tuple[str, ...],
    options: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["fit", write(rows, head), *options, "--json"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1
    assert said in told.err
    assert [path.name for path in Path().iterdir() if not path.name.startswith(".")] == ["runs.csv"]


@pytest.mark.parametrize("source", ["nowhere.csv", "empty"])
def test_a_source_that_is_not_there_is_one_line(
    source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("empty").mkdir()
    assert main(["fit", source]) == 2
    told = capsys.readouterr()
    assert len(told.err.splitlines()) == 1
    assert source in told.err
