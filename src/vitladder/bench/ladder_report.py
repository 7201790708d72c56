"""`vitladder bench`: measures the ladder of a model and writes its table, CSV and figures."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from rich.console import Console

from vitladder.bench.attention_scaling import Point, attention_csv, measure_attention
from vitladder.bench.ladder import KERNELS, Ladder, benchable, measure_ladder
from vitladder.bench.ladder_plots import attention_memory, attention_time, ladder_figure
from vitladder.bench.ladder_table import ladder_csv, ladder_table
from vitladder.bench.machine import keep, measure_machine
from vitladder.compose import check_is_one_run, compose_config
from vitladder.compute.forecast import step_parts
from vitladder.compute.formats import FORMATS
from vitladder.compute.machine import machine_of
from vitladder.compute.profile import is_measured
from vitladder.config import Config
from vitladder.errors import UserError
from vitladder.report.pictures import RC, to_svg
from vitladder.report.roofline import roofline_plot
from vitladder.runs.atomic import write_text
from vitladder.train.device import pick_device

Figures = dict[str, tuple[str, Callable[[], Figure]]]

# The model and batch unless the command says otherwise; a ladder is climbed in so many seconds.
DEFAULTS = {"model": "ti4", "data.batch_size": "32"}
SECONDS = 180.0


def bench_ladder(overrides: Sequence[str]) -> None:
    """Measure the model of the overrides, print the table, and the paths of what is written."""
    given = {override.partition("=")[0] for override in overrides}
    asked = [f"{key}={value}" for key, value in DEFAULTS.items() if key not in given]
    _check_is_not_climbed(given)
    check_is_one_run(overrides, "bench")
    config = benchable(compose_config([*asked, *overrides]))
    began = time.monotonic()
    device = pick_device(config.parallel.device)
    if device.type == "cpu" and not is_measured():
        keep(measure_machine())
    points = measure_attention(
        KERNELS, device, heads=config.model.heads or 1, head_dim=_head_dim(config)
    )
    ladder = measure_ladder(config, until=began + SECONDS)
    console = Console(width=None if sys.stdout.isatty() else 120, emoji=False, highlight=False)
    console.print(ladder_table(ladder))
    drawn = figures(ladder, points) | roofline_figure(config)
    for file in write_report(ladder, points, drawn, report_folder(config)):
        print(file)


def _check_is_not_climbed(given: set[str]) -> None:
    """Raise UserError for what the ladder itself varies."""
    climbed = {"attention", "precision", "compile", "tune", "parallel.micro_batch"}
    taken = sorted(key for key in given if key.split(".")[0] in climbed or key in climbed)
    if taken:
        raise UserError(f"bench: the ladder itself varies {taken[0]}; leave it out")


def write_report(
    ladder: Ladder, points: Sequence[Point], drawn: Figures, folder: Path
) -> list[Path]:
    """Write the CSV files and figures; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"ladder.csv": ladder_csv(ladder), "attention.csv": attention_csv(points)}
    for name, text in texts.items():
        write_text(folder / name, text)
    for name, (description, draw) in drawn.items():
        with matplotlib.rc_context(RC):
            write_text(folder / f"{name}.svg", to_svg(draw(), name, description))
    return [folder / name for name in [*texts, *(f"{name}.svg" for name in drawn)]]


def figures(ladder: Ladder, points: Sequence[Point]) -> Figures:
    """Return each figure's file name, what it shows, and how it is drawn."""
    if not any(row.median for row in ladder.rows):
        raise UserError("no rung of the ladder could be measured; the table says why")
    return {
        "ladder": ("Images a second of every rung", lambda: ladder_figure(ladder)),
        "attention_time": ("Attention's time over tokens", lambda: attention_time(points)),
        "attention_memory": ("Attention's memory over tokens", lambda: attention_memory(points)),
    }


def roofline_figure(config: Config) -> Figures:
    """Return the roofline with the model's parts; nothing for a machine whose roof is unknown."""
    precision = config.precision.name
    roof = machine_of(config).roofs(precision).get(FORMATS[precision].activation)
    if roof is None:
        return {}
    parts = step_parts(config, config.data.batch_size)
    title = f"{config.model.width}x{config.model.depth}, {precision}"
    draw = partial(roofline_plot, roof, parts, title)
    return {"roofline": ("Every part of a step under the machine's roofline", draw)}


def report_folder(config: Config) -> Path:
    """Return the folder of a model's ladder: outputs/bench/192x12-patch4-32px-batch32."""
    model = config.model
    name = (
        f"{model.width}x{model.depth}-patch{model.patch}-{model.image_size}px-"
        f"batch{config.data.batch_size}"
    )
    return Path(config.outputs) / "bench" / name


def _head_dim(config: Config) -> int:
    return config.model.width // (config.model.heads or 1)
