"""The optimisation ladder: measured in turn, and told as a table, CSV and figures."""

from __future__ import annotations

import csv
import io
import subprocess
import time
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from vitladder.bench.attention_scaling import Point, attention_csv, measure_attention
from vitladder.bench.ladder import DATA, Ladder, Row, benchable, measure_ladder
from vitladder.bench.ladder_report import (
    figures,
    report_folder,
    roofline_figure,
    write_report,
)
from vitladder.bench.ladder_table import ladder_csv, ladder_table
from vitladder.bench.machine import keep
from vitladder.compose import compose_config
from vitladder.compute.plan import plan
from vitladder.compute.profile import MachineProfile, this_machine
from vitladder.errors import UserError
from vitladder.train.candidates import Choice, attention_steps

NAIVE = Choice("naive", "fp32", False, None, 2)
HALF = replace(NAIVE, precision="bf16")


def row(name: str, choice: Choice, speeds: list[float], ratio: float, *, carried: bool) -> Row:
    return Row(name, choice, None, speeds, 0.25, 2**20, 0.5, ratio, ratio, NAIVE, carried)


LADDER = Ladder(
    "a small model",
    2_000_000_000,
    32,
    [
        row("naive", NAIVE, [10.0, 11.0, 30.0], 1.0, carried=True),
        Row("flash", None, "needs a GPU", [], None, None, None, None, None, NAIVE, False),
        row("bf16", HALF, [20.0, 22.0, 24.0], 2.0, carried=True),
        row("bf16", replace(HALF, attention="sdpa"), [5.0, 5.5, 6.0], 0.5, carried=False),
        row("micro-batch", replace(HALF, micro_batch=16), [20.0] * 3, 1.9, carried=False),
    ],
)
POINTS = [Point("naive", "fp32", n, [0.01 * n, 0.012 * n], 4 * n * n) for n in (65, 197, 1025)]


def test_the_table_has_medians_ranges_ratios_and_the_reason_of_what_is_left_out() -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(ladder_table(LADDER))
    text = console.export_text()
    assert "naive, fp32 *" in text
    assert "+ bf16 (naive) *" in text
    assert "+ bf16 (sdpa) " in text
    assert "+ micro-batch 16 (naive)" in text
    assert "10 to 30" in text
    assert "25 %" in text
    assert "flash: needs a GPU" in text
    assert "3 interleaved rounds" in text


def test_csv_names_every_part_of_a_choice_and_leaves_unknown_empty() -> None:
    rows = list(csv.DictReader(io.StringIO(ladder_csv(LADDER))))
    assert [line["rung"] for line in rows] == ["naive", "flash", "bf16", "bf16", "micro-batch"]
    assert rows[0]["images_per_s"] == "11.0"
    assert rows[1]["images_per_s"] == ""
    assert rows[1]["left_out"] == "needs a GPU"
    assert rows[2]["precision"] == "bf16"
    assert {field.name for field in fields(Choice)} <= rows[0].keys()
    assert rows[4]["micro_batch"] == "16"
    points = list(csv.DictReader(io.StringIO(attention_csv(POINTS))))
    assert [point["tokens"] for point in points] == ["65", "197", "1025"]


def test_a_model_may_be_larger_than_the_budget_of_a_run() -> None:
    config = benchable(compose_config(["model=ti4", "data.batch_size=32", "compute.flops=1"]))
    assert plan(config, DATA).flops_per_image > 1e9


def test_tables_and_figures_are_files_in_a_folder_named_by_the_shape() -> None:
    config = benchable(compose_config(["model=ti4", "data.batch_size=32"]))
    folder = report_folder(config)
    assert folder == Path("outputs/bench/192x12-patch4-32px-batch32")
    written = write_report(LADDER, POINTS, figures(LADDER, POINTS), folder)
    assert [file.name for file in written] == [
        *["ladder.csv", "attention.csv"],
        *["ladder.svg", "attention_time.svg", "attention_memory.svg"],
    ]
    for file in written:
        assert file.stat().st_size > 0
    assert "bf16 (sdpa)" in (folder / "ladder.svg").read_text()


@pytest.mark.slow
def test_a_stage_is_measured_and_what_cannot_run_here_is_left_out() -> None:
    config = benchable(compose_config(["model=micro-8", "model.image_size=8", "threads=1"]))
    ladder = measure_ladder(
        config, until=time.monotonic() + 60, stages=[attention_steps], seconds=0.02
    )
    naive, sdpa = (found for found in ladder.rows if found.name in ("naive", "sdpa"))
    assert len(naive.images_per_s) == len(sdpa.images_per_s) == 9
    assert naive.ratio_first == 1.0
    assert sdpa.ratio_before == sdpa.ratio_first
    assert naive.mfu is None
    assert naive.memory_bytes is not None
    assert naive.carried or sdpa.carried
    [flash] = (found for found in ladder.rows if found.name == "flash")
    assert flash.median is None
    assert flash.left_out is not None
    assert "cannot run on cpu" in flash.left_out


@pytest.mark.slow
def test_what_no_time_is_left_for_is_left_out() -> None:
    config = benchable(compose_config(["model=micro-8", "model.image_size=8", "threads=1"]))
    past = time.monotonic() - 1
    ladder = measure_ladder(config, until=past, stages=[attention_steps], seconds=0.02)
    naive, *others = ladder.rows
    assert len(naive.images_per_s) == 3
    reasons = {found.name: found.left_out for found in others}
    assert reasons["sdpa"] == "no time was left for it"


def test_attention_alone_is_measured_in_both_precisions_and_naive_keeps_n_squared() -> None:
    device = torch.device("cpu")
    points = measure_attention(
        ["naive", "sdpa"], device, heads=2, head_dim=16, tokens=[64, 1024], rounds=2
    )
    known = {(point.kernel, point.precision, point.tokens): point for point in points}
    assert len(known) == 8
    for point in points:
        assert len(point.milliseconds) == 2
        assert point.median > 0
    naive, sdpa = (known[kernel, "fp32", 1024].memory_bytes for kernel in ("naive", "sdpa"))
    assert naive > 4 * 2 * 1024 * 1024 > sdpa


def test_a_model_that_cannot_be_is_one_line(command: str) -> None:
    done = subprocess.run([command, "bench", "model.wdith=3"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("vitladder: no setting 'model.wdith'")
    assert len(done.stderr.splitlines()) == 1


def test_a_flag_takes_no_settings(command: str) -> None:
    done = subprocess.run(
        [command, "bench", "--machine", "model.width=8"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "model.width=8" in done.stderr


def test_a_first_rung_that_fails_leaves_a_figure_without_ratios() -> None:
    broken = replace(LADDER.rows[0], images_per_s=[], left_out="no room", ratio_first=None)
    rest = [replace(row, ratio_first=None, ratio_before=None) for row in LADDER.rows[1:]]
    ladder = replace(LADDER, rows=[broken, *rest])
    written = write_report(ladder, POINTS, figures(ladder, POINTS), Path("failed"))
    assert "0.00x" not in Path("failed/ladder.svg").read_text()
    assert all(file.stat().st_size > 0 for file in written)


def test_a_ladder_without_any_rung_is_said_in_one_line() -> None:
    rows = [replace(row, images_per_s=[], ratio_first=None) for row in LADDER.rows]
    with pytest.raises(UserError, match="no rung of the ladder could be measured"):
        figures(replace(LADDER, rows=rows), POINTS)


def test_the_roofline_is_drawn_where_the_machine_was_measured() -> None:
    config = benchable(compose_config(["model=ti4", "data.batch_size=32", "threads=1"]))
    assert roofline_figure(config) == {}
    keep(MachineProfile(this_machine(), {"fp32": {1: 1e11}}, {1: 2e10}))
    [(name, (_, draw))] = roofline_figure(config).items()
    assert name == "roofline"
    assert draw().axes
