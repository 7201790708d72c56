"""Tables: CSV and Parquet in, every fault named with its file, column and rows."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from vitladder.errors import UserError
from vitladder.laws.table import join, refuse_same_rows, refuse_same_runs, rename
from vitladder.laws.table_files import read_table


def written(folder: Path, text: str, name: str = "runs.csv") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_csv_and_parquet_give_the_same_numbers(tmp_path: Path) -> None:
    csv = read_table(written(tmp_path, "run,flops,loss\na,1e9,2.5\nb,2e9,2.25\n"))
    columns = {"run": ["a", "b"], "flops": [1e9, 2e9], "loss": [2.5, 2.25]}
    parquet.write_table(pa.table(columns), tmp_path / "runs.parquet")
    other = read_table(tmp_path / "runs.parquet")
    for column in ("flops", "loss"):
        assert csv.numbers(column).tolist() == other.numbers(column).tolist()
    assert [csv.name(0), other.name(1)] == ["a", "b"]


@pytest.mark.parametrize(
    ("cell", "what"),
    [
        ("", "not a number (empty)"),
        ("abc", "not a number ('abc')"),
        ("nan", "not finite"),
        ("inf", "not finite"),
        ("0", "not positive"),
        ("-3", "not positive"),
    ],
)
def test_a_bad_cell_is_named_with_its_row(tmp_path: Path, cell: str, what: str) -> None:
    table = read_table(written(tmp_path, f"flops,loss\n1e9,2\n2e9,{cell}\n3e9,1\n"))
    with pytest.raises(UserError) as error:
        table.numbers("loss")
    assert str(error.value).startswith(f"{tmp_path}/runs.csv: column loss, row 2: {what}")
    assert table.numbers("flops").tolist() == [1e9, 2e9, 3e9]


def test_many_bad_rows_are_counted(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "loss\n" + "-1\n" * 9))
    with pytest.raises(UserError, match=r"row 1, row 2, .* and 4 more: not positive"):
        table.numbers("loss")


def test_a_rate_above_one_is_refused(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "error\n0.5\n1.5\n"))
    with pytest.raises(UserError, match=r"column error, row 2: above 1, which no rate is"):
        table.rates("error")


def test_a_missing_column_says_what_is_there(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "params,loss\n1,2\n"))
    with pytest.raises(UserError, match=r"no .*column 'n_params'.*params.*--column n_params=NAME"):
        table.numbers("n_params")
    assert rename(table, {"n_params": "params"}).numbers("n_params").tolist() == [1.0]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "empty"),
        ("a,b\n", "no row of data"),
        ("a,a\n1,2\n", "two columns are called 'a'"),
        ("a,b\n1,2\n3\n", "row 2 has 1 cells, the head has 2"),
    ],
)
def test_a_file_that_is_no_table_is_one_line(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(UserError, match=what) as error:
        read_table(written(tmp_path, text))
    assert "\n" not in str(error.value)


def test_what_is_no_parquet_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read as Parquet") as error:
        read_table(written(tmp_path, "not parquet", "runs.parquet"))
    assert "\n" not in str(error.value)


def test_rows_that_are_the_same_are_named(tmp_path: Path) -> None:
    rows = read_table(written(tmp_path, "flops,loss\n1e9,2\n2e9,1.5\n1.0e9,2.0\n"))
    with pytest.raises(UserError, match="row 1 and row 3 are one run: the same flops, loss"):
        refuse_same_rows(rows, ["run", "flops", "loss"])
    refuse_same_rows(rows.rows([0, 1]), ["flops", "loss"])


def test_a_run_that_stands_twice_is_named(tmp_path: Path) -> None:
    rows = read_table(written(tmp_path, "run,flops,loss\na,1e9,2\nb,1e9,2\na,3e9,1\n"))
    refuse_same_rows(rows, ["run", "flops", "loss"])
    with pytest.raises(UserError, match="row 1 and row 3 are one run: the same run"):
        refuse_same_runs(rows)
    refuse_same_runs(rows.rows([0, 1]))
    refuse_same_runs(read_table(written(tmp_path, "run,loss\n,1\n,2\n")))


def test_joined_tables_keep_their_places(tmp_path: Path) -> None:
    first = read_table(written(tmp_path, "flops,loss\n1,2\n", "a.csv"))
    second = read_table(written(tmp_path, "flops,loss,extra\n3,x,1\n", "b.csv"))
    both = join([first, second])
    assert both.numbers("flops").tolist() == [1, 3]
    with pytest.raises(UserError, match=r"column loss, .*b\.csv row 1: not a number"):
        both.numbers("loss")
    with pytest.raises(UserError, match=r"column extra, .*a\.csv row 1: not a number \(empty\)"):
        both.numbers("extra")
