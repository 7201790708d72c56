"""Tables of runs that no law can be fitted to, options that fit none, and what is said of each."""

from __future__ import annotations

from pathlib import Path

from bad_runs import (
    HEAD,
    TABLE,
    Case,
    file,
    nothing,
    parquet_table,
    sound_rows,
    table,
    table_with,
)

PARQUET = ("fit", "runs.parquet", "--bootstrap", "0")
PARAMETRIC = (*TABLE, "--law", "parametric")

FILES = [
    Case("no table", nothing, TABLE, ("no runs.csv", "or a CSV or Parquet file")),
    Case("an empty table", file("runs.csv", ""), TABLE, ("runs.csv: empty", "a head and a row")),
    Case("a head alone", table(), TABLE, ("runs.csv: no row of data", "a row for each run")),
    Case(
        "two columns of one name",
        file("runs.csv", "loss,flops,loss\n1,2,3\n"),
        TABLE,
        ("runs.csv: two columns are called 'loss'", "rename one of them"),
    ),
    Case(
        "two columns without a name",
        file("runs.csv", "n_params,,,loss\n1,2,3,4\n"),
        TABLE,
        ("runs.csv: two columns have no name", "in the first line"),
    ),
    Case(
        "semicolons",
        file("runs.csv", "\n".join([HEAD, *sound_rows()]).replace(",", ";")),
        TABLE,
        ("runs.csv: its columns are separated by ';'", "separate them by commas"),
    ),
    Case(
        "tabs",
        file("runs.csv", "\n".join([HEAD, *sound_rows()]).replace(",", "\t")),
        TABLE,
        ("runs.csv: its columns are separated by tabs", "separate them by commas"),
    ),
    Case(
        "a short row",
        table_with(3, "1000,2000"),
        TABLE,
        ("runs.csv: row 3 has 2 cells, the head has 4", "quote cells that hold commas"),
    ),
    Case(
        "a binary file",
        file("runs.csv", bytes(range(256)) * 9),
        TABLE,
        ("runs.csv: cannot be read as CSV", "not UTF-8 text"),
    ),
    Case(
        "zeros among the text",
        file("runs.csv", f"{HEAD}\n1,2,3\0,4\n"),
        TABLE,
        ("runs.csv: cannot be read as CSV", "line 2 holds a NUL"),
    ),
    Case(
        "UTF-16, as spreadsheets write it",
        file("runs.csv", "\n".join([HEAD, *sound_rows()]).encode("utf-16")),
        TABLE,
        ("runs.csv: cannot be read as CSV", "it is UTF-16: save it as UTF-8"),
    ),
    Case(
        "a quote without an end",
        table_with(2, '"1000,2,3,4'),
        TABLE,
        ("runs.csv: cannot be read as CSV", "a quote without its other"),
    ),
    Case(
        "a folder called like a table",
        lambda: Path("runs.csv").mkdir(),
        TABLE,
        ("runs.csv holds no run (no */record.json)", "a study's folder"),
    ),
    Case(
        "CSV called Parquet",
        file("runs.parquet", "\n".join([HEAD, *sound_rows()])),
        PARQUET,
        ("runs.parquet: cannot be read as Parquet", "call it .csv"),
    ),
    Case(
        "Parquet called CSV",
        parquet_table({"n_params": [1.0], "loss": [2.0]}, "runs.csv"),
        TABLE,
        ("runs.csv: cannot be read as CSV", "it is Parquet: call it .parquet"),
    ),
    Case(
        "a Parquet file without rows",
        parquet_table({"n_params": [], "loss": []}),
        PARQUET,
        ("runs.parquet: no row of data",),
    ),
    Case(
        "a spreadsheet",
        file("runs.xlsx", b"PK\x03\x04" + bytes(range(256))),
        ("fit", "runs.xlsx"),
        ("runs.xlsx: cannot be read as CSV", "it is a spreadsheet: save it as CSV"),
    ),
]

CELLS = [
    Case(
        "text among the numbers",
        table_with(3, "1000,9000,864000000,low"),
        TABLE,
        ("runs.csv: column loss, row 3: not a number ('low')",),
    ),
    Case(
        "a comma for the point",
        table_with(3, '1000,9000,864000000,"2,31"'),
        TABLE,
        ("runs.csv: column loss, row 3: not a number ('2,31'); write numbers such as 1234.5",),
    ),
    Case(
        "a number with its unit",
        table_with(1, "1000,9k,864000000,2.5"),
        TABLE,
        ("runs.csv: column images, row 1: not a number ('9k')",),
    ),
    Case(
        "an empty cell",
        table_with(4, "1000,,864000000,2.5"),
        TABLE,
        ("runs.csv: column images, row 4: not a number (empty)",),
    ),
    Case(
        "infinity",
        table_with(2, "1000,9000,inf,2.5"),
        TABLE,
        ("runs.csv: column flops, row 2: not finite ('inf')",),
    ),
    Case(
        "no number",
        table_with(5, "1000,9000,864000000,nan"),
        TABLE,
        ("runs.csv: column loss, row 5: not finite ('nan')", '--where "loss>0 and loss<inf"'),
    ),
    Case(
        "a negative number",
        table_with(2, "-1000,9000,864000000,2.5"),
        TABLE,
        ("runs.csv: column n_params, row 2: not positive ('-1000')",),
    ),
    Case(
        "a zero",
        table_with(2, "1000,0,864000000,2.5"),
        TABLE,
        ("runs.csv: column images, row 2: not positive ('0')",),
    ),
    Case(
        "a number that no run has",
        table_with(2, "1000,9000,1e300,2.5"),
        TABLE,
        ("runs.csv: column flops, row 2: not between 1e-40 and 1e+40", "('1e300')"),
    ),
    Case(
        "lists in a Parquet file",
        parquet_table({"n_params": [[1.0]], "images": [2.0], "flops": [3.0], "loss": [1.0]}),
        PARQUET,
        ("runs.parquet: column n_params, row 1: not a number ([1.0])",),
    ),
    Case(
        "error rates above one",
        file("runs.csv", "n_params,images,flops,error\n" + "\n".join(["1,2,3,55"] * 9)),
        TABLE,
        ("runs.csv: column error, row 1,", "above 1, which no rate is"),
    ),
]

COLUMNS = [
    Case(
        "no loss",
        file("runs.csv", "n_params,images,flops,los\n1,2,3,4\n"),
        TABLE,
        ("runs.csv: no column 'loss'", "did you mean 'los'?", "--column loss=NAME"),
    ),
    Case(
        "no size",
        file("runs.csv", "params,images,flops,loss\n" + "\n".join(sound_rows())),
        PARAMETRIC,
        ("runs.csv: no column 'n_params'", "did you mean 'params'?", "--column n_params=NAME"),
    ),
    Case(
        "a loss alone",
        file("runs.csv", "loss\n1\n2\n3\n"),
        TABLE,
        ("runs.csv: no column 'flops'", "(have: loss)", "--column flops=NAME"),
    ),
    Case(
        "one run",
        table(*sound_rows(1)),
        TABLE,
        ("runs.csv: no law can be fitted", "need at least 6 runs, there is 1"),
    ),
    Case(
        "the same loss in all runs",
        table(*(f"{k}000,{k * k}000,{96 * k**3}e6,2.5" for k in range(1, 9))),
        TABLE,
        ("runs.csv: no law can be fitted", "the loss is the same in all runs"),
    ),
    Case(
        "the same size in all runs",
        table(*(f"1000,{k}000,{96 * k}e6,{3 / k}" for k in range(1, 9))),
        PARAMETRIC,
        ("runs.csv: no law can be fitted", "1 different n_params", "at least 3"),
    ),
    Case(
        "one run twice",
        table(*sound_rows(), sound_rows()[0]),
        TABLE,
        ("runs.csv: row 1 and row 13 are one run", "remove one of them"),
    ),
    Case(
        "too few runs for a law",
        table(*sound_rows(5)),
        PARAMETRIC,
        ("runs.csv: no law can be fitted", "5 parameters need at least 6 runs, there are 5"),
    ),
]

OPTIONS = [
    Case(
        "a new name for a column that is not there",
        table(*sound_rows()),
        (*TABLE, "--column", "tokens=token"),
        ("runs.csv: no column 'token'", "(have: flops, images", "--column tokens=token"),
    ),
    Case(
        "a new name without an old one",
        table(*sound_rows()),
        (*TABLE, "--column", "tokens"),
        ("--column 'tokens': write NEW=OLD",),
    ),
    Case(
        "a filter that selects nothing",
        table(*sound_rows()),
        (*TABLE, "--where", "flops>1e30"),
        ("runs.csv: no row has flops>1e30; flops is 8.64e+08 to ",),
    ),
    Case(
        "a filter that is none",
        table(*sound_rows()),
        (*TABLE, "--where", "flops"),
        ("'flops' is no filter", 'such as "flops<=1e21 and loss<5"'),
    ),
    Case(
        "a filter in Python",
        table(*sound_rows()),
        (*TABLE, "--where", "__import__('os').system('touch here') or loss"),
        ("is no filter", 'such as "flops<=1e21 and loss<5"'),
    ),
    Case(
        "a filter on a column that is not there",
        table(*sound_rows()),
        (*TABLE, "--where", "flop<1e30"),
        ("runs.csv: no column 'flop'", "did you mean 'flops'?"),
    ),
    Case(
        "a law that there is not",
        table(*sound_rows()),
        (*TABLE, "--law", "parametrc"),
        ("no law 'parametrc'; did you mean 'parametric'?", "(have: "),
    ),
    Case(
        "a third column that is there already",
        table(*sound_rows()),
        (*TABLE, "--flops-per", "6*N*D"),
        ("runs.csv: --flops-per gives the one that is missing", "and none is missing"),
    ),
    Case(
        "a product that is none",
        table(*sound_rows()),
        (*TABLE, "--flops-per", "6*N"),
        ("--flops-per '6*N' is no product of a number, N and D", '"6*N*D"'),
    ),
    Case(
        "more dropped than there is",
        table(*sound_rows()),
        (*TABLE, "--drop-worst", "99"),
        ("runs.csv: no row is left to fit", "--drop-worst 99", "12 rows"),
    ),
    Case(
        "draws below none",
        table(*sound_rows()),
        ("fit", "runs.csv", "--bootstrap", "-1"),
        ("--bootstrap is -1: give a whole number, 0 or more",),
    ),
    Case(
        "groups by a column that is not there",
        table(*sound_rows()),
        (*TABLE, "--by", "dataset"),
        ("runs.csv: no column 'dataset'", "(have: "),
    ),
]

TABLES = [*FILES, *CELLS, *COLUMNS, *OPTIONS]
