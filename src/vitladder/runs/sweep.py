"""The runs of one command: where they lie, which are finished, and the final table."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from vitladder.runs.invocation import Invocation
from vitladder.runs.record import FILE, FINISHED, Record, read_record

_STATUS_STYLE = {"complete": "green", "diverged": "yellow", "failed": "red", "interrupted": "red"}


@dataclass(frozen=True)
class Place:
    """Where a run lies: outputs/<study>/<run_key>."""

    outputs: Path
    study: str
    run_key: str

    @property
    def folder(self) -> Path:
        """The run's own folder."""
        return self.study_folder / self.run_key

    @property
    def study_folder(self) -> Path:
        """The folder of all runs of the study."""
        return self.outputs / self.study

    @property
    def cache(self) -> Path:
        """Where decoded images are kept, for all studies."""
        return self.outputs / ".cache"

    def finished(self) -> Record | None:
        """Return the record of a run that needs no more training, else None."""
        record = read_record(self.folder)
        return record if record is not None and record.status in FINISHED else None


def invoked_places(outputs: Path, study: str, invocation: Invocation) -> list[Place]:
    """Return the runs of a study that this command has trained, by their records."""
    places = [Place(outputs, study, f.parent.name) for f in (outputs / study).glob(f"*/{FILE}")]
    found = [(place, read_record(place.folder)) for place in places]
    return [place for place, record in found if record and record.is_of(invocation.name)]


def print_summary(places: Sequence[Place]) -> int:
    """Print a table of the runs and return the exit code: 1 if one of them is not finished."""
    if not places:
        print("no run was started")
        return 1
    console = Console(width=None if sys.stdout.isatty() else 120, emoji=False)
    table = Table(
        title=f"{places[0].study}: {len(places)} runs",
        title_justify="left",
        box=box.SIMPLE,
        pad_edge=False,
    )
    for column in ("run", "status", "shape", "N", "C", "val loss", "images/s", "seconds"):
        left = column in ("run", "status")
        table.add_column(column, justify="left" if left else "right", no_wrap=True)
    unfinished = 0
    for place in places:
        record = read_record(place.folder)
        unfinished += record is None or record.status not in FINISHED
        table.add_row(*_row(place, record))
    console.print(table)
    if unfinished:
        where = places[0].study_folder
        print(f"{unfinished} of {len(places)} runs are not finished; see {where}/*/train.log")
        print("The same command goes on where they stopped.")
    return 1 if unfinished else 0


def shape_of(config: Mapping[str, Any]) -> str:
    """Width x depth of a record's config, as far as it says them."""
    model = config.get("model", {})
    return f"{model['width']}x{model['depth']}" if {"width", "depth"} <= model.keys() else ""


def _row(place: Place, record: Record | None) -> list[str]:
    if record is None:
        return [place.run_key, "not started", *[""] * 6]
    style = _STATUS_STYLE.get(record.status, "")
    status = f"[{style}]{record.status}[/{style}]" if style else record.status
    plan, results = record.plan, record.results
    return [
        place.run_key,
        status,
        shape_of(record.config),
        f"{plan['n_params']:,}" if plan.get("n_params") else "",
        f"{plan['flops']:.3g}" if plan.get("flops") else "",
        "" if results.val_loss is None else f"{results.val_loss:.4f}",
        "" if results.images_per_s is None else f"{results.images_per_s:,.0f}",
        f"{record.times.get('seconds') or 0:.1f}",
    ]
