"""A study's dashboard in W&B as plain data: what is shown of which runs, and over what."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from vitladder.errors import UserError
from vitladder.runs.wandb_about import ENCODING, FIT_JOB, KERNEL, About, runs_for_wandb
from vitladder.runs.wandb_fit import LAWS, RUNS_TABLE, figure_key, fit_figures
from vitladder.runs.wandb_names import NAMES, STEP_MS, C
from vitladder.runs.wandb_process import Sender

_MODULE = "vitladder.runs.wandb_dashboard_save"
_FILE = "dashboard.json"
_SECONDS = 60.0
_LOSS, _ERROR, _N, _D = (NAMES[one] for one in ("val_loss", "val_error", "n_params", "images"))
_COMPARED = (("Validation loss", _LOSS), ("Images per second", NAMES["images_per_s"]))
_TABLES = (("Parameters of the laws", LAWS), ("Fitted runs", RUNS_TABLE))


@dataclass(frozen=True)
class Panel:
    """One panel: metrics `y`, over the metric `x`, coloured by another or grouped by a setting.

    Axes of losses, C, N and D are logarithmic. A scatter's `frontier` is its lowest y so far.
    """

    kind: Literal["scatter", "lines", "bars", "images", "table"]
    title: str
    y: Sequence[str]
    x: str | None = None
    colour: str | None = None
    group: str | None = None
    logarithmic: bool = False
    frontier: bool = False


@dataclass(frozen=True)
class Section:
    """Panels that belong together."""

    name: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Dashboard:
    """A workspace of W&B over the runs of one group. `view` is its name in addresses."""

    entity: str | None
    project: str
    group: str
    name: str
    view: str
    sections: Sequence[Section]


def dashboard(study: Path, entity: str | None, project: str | None) -> Dashboard:
    """Return the dashboard of a study, where its runs are in W&B unless told otherwise.

    Raises UserError where there is no study, or none of its runs is for W&B.
    """
    runs = [about for _, about in runs_for_wandb(study) if about.job_type != FIT_JOB]
    if not runs:
        raise UserError(f"{study} has a fit for W&B, and no run; train with logger=wandb first")
    figures = [figure_key(file) for file in fit_figures(study)]
    return Dashboard(
        entity=entity or runs[0].entity,
        project=project or runs[0].project,
        group=runs[0].group,
        name=f"vitladder: {runs[0].group}",
        # The same in each call, so that a dashboard is made once and then brought up to date.
        view=hashlib.sha256(runs[0].group.encode()).hexdigest()[:11],
        sections=[*_of_runs(), *_of_choices(runs), _of_laws(figures)],
    )


def _of_runs() -> list[Section]:
    """What every study has."""
    return [
        Section(
            "Ladder",
            [
                _scatter("Validation loss over C, by N", C, _LOSS, _N, frontier=True),
                _scatter("Validation error over C, by N", C, _ERROR, _N, frontier=True),
            ],
        ),
        Section(
            "IsoFLOP",
            [
                _scatter("Validation loss over N, by C", _N, _LOSS, C),
                _scatter("Validation loss over D, by C", _D, _LOSS, C),
            ],
        ),
        Section(
            "Learning curves",
            [
                _lines("Validation loss over C", _LOSS),
                _lines("Training loss over C", NAMES["train_loss"]),
                _lines("Learning rate over C", NAMES["lr"]),
                _lines("Gradient norm over C", NAMES["grad_norm"]),
            ],
        ),
        Section(
            "Throughput and MFU",
            [
                _scatter("Images per second over N", _N, NAMES["images_per_s"], C),
                Panel("scatter", "MFU over N", [NAMES["mfu"]], _N, C),
                _scatter("Milliseconds of a step over N", _N, STEP_MS, C),
            ],
        ),
        Section(
            "Memory", [_scatter("Peak memory over N, bytes", _N, NAMES["peak_memory_bytes"], C)]
        ),
    ]


def _of_choices(runs: Sequence[About]) -> list[Section]:
    """Kernels and position encodings side by side, where the study has several."""
    panels = [
        Panel("bars", f"{title} by {key}", [metric], group=key)
        for key in (KERNEL, ENCODING)
        if len({run.config.get(key) for run in runs}) > 1
        for title, metric in _COMPARED
    ]
    return [Section("Kernels and positions", panels)] if panels else []


def _of_laws(figures: Sequence[str]) -> Section:
    """What the study's fit says, as `vitladder sync` sends it."""
    tables = [Panel("table", title, [key]) for title, key in _TABLES]
    return Section("Laws", [*tables, *([Panel("images", "Figures", figures)] if figures else [])])


def _scatter(title: str, x: str, y: str, colour: str, *, frontier: bool = False) -> Panel:
    return Panel("scatter", title, [y], x, colour, logarithmic=True, frontier=frontier)


def _lines(title: str, y: str) -> Panel:
    return Panel("lines", title, [y], C, logarithmic=True)


def specification(shown: Dashboard) -> str:
    """The dashboard as JSON."""
    return json.dumps(asdict(shown), indent=1)


def save(study: Path, shown: Dashboard) -> str:
    """Make the dashboard in W&B, or bring it up to date, and return its address.

    Raises UserError where wandb-workspaces is not installed, and where W&B does not take it.
    """
    if importlib.util.find_spec("wandb_workspaces") is None:
        raise UserError(
            "dashboard needs wandb-workspaces: pip install 'vitladder[dashboard]'; --dry-run needs "
            "nothing"
        )
    with tempfile.TemporaryDirectory() as files:
        (Path(files) / _FILE).write_text(specification(shown), encoding="utf-8")
        ended = Sender(_MODULE, study, Path(files)).wait(_SECONDS)
    if ended.code != 0:
        why = f"no answer in {_SECONDS:g} s" if ended.code is None else ended.said
        raise UserError(f"W&B did not take the dashboard ({why}); is its server there, and a key?")
    return ended.said


def read_specification(files: Path) -> Dashboard:
    """Read back what `save` has left for its process."""
    data = json.loads((files / _FILE).read_text(encoding="utf-8"))
    sections = [
        Section(one["name"], [Panel(**panel) for panel in one["panels"]])
        for one in data.pop("sections")
    ]
    return Dashboard(**data, sections=sections)
