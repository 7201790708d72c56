"""Whatever metrics.csv holds, a run goes on with its sound rows, or is told in one line why not."""

from __future__ import annotations

from pathlib import Path

from anything import is_one_line, mutated_bytes
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vitladder.errors import UserError
from vitladder.runs.metrics import COLUMNS, FILE, open_rows, read_rows, write_row

RUN = Path("run")
SOUND = "\n".join(
    [
        ",".join(COLUMNS),
        "1,64,1e9,2.5,0.001,1.5,900.5,0.1,,,,,",
        "2,128,2e9,2.25,0.001,nan,900.5,,2.375,0.5,0.25,1024.0,1",
        "3,192,3e9,2.0,1e-05,inf,900.5,0.1,,,,,",
        "",
    ]
).encode()


def resumed(content: bytes) -> None:
    """A run goes on after step 2, twice; then every row is one."""
    RUN.mkdir(exist_ok=True)
    (RUN / FILE).write_bytes(content)
    try:
        before = read_rows(RUN)
    except UserError as error:
        is_one_line(error)
        return
    kept = [int(row["step"]) for row in before if int(row["step"]) <= 2]
    for step in (3, 4):
        with open_rows(RUN, last_step=step - 1) as rows:
            write_row(rows, {"step": step, "train_loss": 0.5})
    after = read_rows(RUN)
    assert [int(row["step"]) for row in after] == [*kept, 3, 4]
    for row in after:
        assert tuple(row) == COLUMNS
        assert all(cell == "" or isinstance(float(cell), float) for cell in row.values())


@given(content=st.one_of(st.binary(), st.text().map(str.encode)))
@settings(max_examples=100)
@example(content=b"")
@example(content=b"\n\n")
@example(content=b"\0" * 99 + b"\n")
def test_arbitrary_bytes(content: bytes) -> None:
    resumed(content)


@given(content=mutated_bytes(SOUND))
@settings(max_examples=200)
@example(content=SOUND)
@example(content=SOUND.replace(b"2,128", b"two,128"))
@example(content=SOUND.replace(b"2,128,", b""))
@example(content=SOUND.replace(b"2.25", b"\0\0\0\0"))
@example(content=SOUND.replace(b"\n2,", b"\r2,"))
@example(content=SOUND.replace(b"2,128", "٢,128".encode()))
def test_rows_with_other_bytes(content: bytes) -> None:
    resumed(content)
