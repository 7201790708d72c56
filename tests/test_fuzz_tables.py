"""Whatever a table holds, it is read or refused in one line; and so is every fit to small ones."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from anything import any_text, is_one_line, mutated_bytes
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from vitladder.errors import UserError
from vitladder.laws.fit import fit_sources
from vitladder.laws.request import Request
from vitladder.laws.table_files import read_table

HEAD = ("n_params", "images", "flops", "loss")
SOUND = "\n".join(
    [
        ",".join(HEAD),
        *(
            f"{n},{d},{96 * n * d},{0.3 + 60 * n**-0.5 + 900 * d**-0.55}"
            for n in (1e3, 4e3, 2e4)
            for d in (1e4, 5e4, 3e5)
        ),
        "",
    ]
).encode()

# All of them at once take seconds where the rows tell little.
LAWS = ("parametric", "isoflop", "envelope", "m1", "m3", "zhai", "shape")

near = st.floats(0.5, 8.0)
ordinary = st.floats(1e-3, 1e12)
extreme = st.sampled_from([5e-324, 1e-40, 1e-12, 1.0, 1e15, 1e40, 1.7e308])
rows = st.one_of(
    st.lists(st.tuples(ordinary, ordinary, ordinary, near), min_size=1, max_size=10),
    st.lists(st.tuples(*[st.one_of(ordinary, extreme)] * 4), min_size=1, max_size=9),
    st.lists(st.tuples(*[st.sampled_from([1.0, 2.0, 4.0])] * 4), min_size=1, max_size=10),
)


def numbers_of(file: Path) -> None:
    """Read a table and every column of it as numbers, or be told in one line why not."""
    try:
        table = read_table(file)
    except UserError as error:
        is_one_line(error)
        return
    for name in table.cells:
        try:
            assert len(table.numbers(name)) == len(table)
        except UserError as error:
            is_one_line(error)


@given(content=st.one_of(st.binary(), any_text.map(lambda t: t.encode(errors="ignore"))))
@settings(max_examples=200)
@pytest.mark.parametrize("name", ["runs.csv", "runs.parquet"])
def test_arbitrary_bytes_are_refused_in_one_line(name: str, content: bytes) -> None:
    file = Path(name)
    file.write_bytes(content)
    numbers_of(file)


@given(content=mutated_bytes(SOUND))
@settings(max_examples=300)
def test_a_table_with_other_bytes_is_read_or_refused_in_one_line(content: bytes) -> None:
    file = Path("runs.csv")
    file.write_bytes(content)
    numbers_of(file)


@given(data=st.data())
@settings(max_examples=100)
def test_a_parquet_file_with_other_bytes_is_read_or_refused_in_one_line(
    data: st.DataObject,
) -> None:
    file = Path("runs.parquet")
    parquet.write_table(pa.table({"run": ["a", "b"], "loss": [2.5, 2.25]}), file)
    file.write_bytes(data.draw(mutated_bytes(file.read_bytes())))
    numbers_of(file)


@given(rows=rows, law=st.sampled_from(LAWS))
@settings(max_examples=12)
@example(rows=[(1e300, 1e300, 1e300, 1.0)] * 9, law="auto")
@example(rows=[(1.0, 1.0, 1.0, 5e-324), (1.0, 1.0, 2.0, 1.0), (1.0, 1.0, 0.5, 1.0)], law="auto")
@example(rows=[(float(k), 10.0 - k, 1.0, 1.0 + k) for k in range(1, 9)], law="auto")
def test_a_fit_is_an_answer_or_one_line(rows: list[tuple[float, ...]], law: str) -> None:
    lines = [",".join(HEAD), *(",".join(map(repr, row)) for row in rows), ""]
    Path("runs.csv").write_text("\n".join(lines))
    try:
        fitted = fit_sources([Path("runs.csv")], Request(law=law, bootstrap=8))
    except UserError as error:
        is_one_line(error)
        return
    json.dumps(fitted.data, allow_nan=False)
