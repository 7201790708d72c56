"""Make a workspace of W&B from a dashboard's specification; a process of its own, for its time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import wandb
import wandb_workspaces.reports.v2 as reports
import wandb_workspaces.workspaces as workspaces
from wandb_workspaces import expr

from vitladder.runs.wandb_dashboard import Dashboard, Panel, Section, read_specification
from vitladder.runs.wandb_names import C
from vitladder.runs.wandb_process import told


def save(study: Path, files: Path) -> None:
    """Save the dashboard in W&B, in the place of the one of an earlier call; print its address."""
    del study
    shown = read_specification(files)
    entity = shown.entity or str(wandb.Api().default_entity)
    workspace = _before(entity, shown) or workspaces.Workspace(
        entity=entity, project=shown.project, name=shown.name
    )
    # A new one would be given a name by chance, and be found by nobody again.
    workspace._internal_name = _view(shown)
    ours = {one.name for one in shown.sections}
    # What people have added stands below.
    theirs = [one for one in workspace.sections if one.name not in ours]
    workspace.sections = [*(_section(one) for one in shown.sections), *theirs]
    workspace.settings = workspaces.WorkspaceSettings(x_axis=C, max_runs=100)
    workspace.runset_settings = workspaces.RunsetSettings(
        filters=[expr.Metric("Group") == shown.group]
    )
    print(workspace.save().url, flush=True)


def _view(shown: Dashboard) -> str:
    return f"nw-{shown.view}-v"


def _before(entity: str, shown: Dashboard) -> Any:
    """The workspace of an earlier call, or None."""
    try:
        return workspaces.Workspace.from_url(
            f"https://wandb.ai/{entity}/{shown.project}?nw={shown.view}"
        )
    except ValueError as error:
        # A workspace that this version cannot read, another ValueError, is there all the same.
        if "not found in project" not in str(error):
            raise
        return None


def _section(section: Section) -> Any:
    panels = [_panel(panel) for panel in section.panels]
    return workspaces.Section(name=section.name, panels=panels, is_open=True)


def _panel(panel: Panel) -> Any:
    return _MADE[panel.kind](panel)


def _scatter(panel: Panel) -> Any:
    return reports.ScatterPlot(
        title=panel.title,
        x=reports.SummaryMetric(panel.x),
        y=reports.SummaryMetric(panel.y[0]),
        z=reports.SummaryMetric(panel.colour),
        log_x=True,
        log_y=panel.logarithmic,
        log_z=True,
        running_ymin=panel.frontier,
        gradient=[reports.GradientPoint(color, offset) for color, offset in _VIRIDIS],
    )


def _lines(panel: Panel) -> Any:
    return reports.LinePlot(
        title=panel.title,
        x=reports.Metric(panel.x),
        y=list(panel.y),
        log_x=panel.logarithmic,
        log_y=panel.logarithmic,
        max_runs_to_show=100,
    )


def _bars(panel: Panel) -> Any:
    return reports.BarPlot(
        title=panel.title,
        metrics=list(panel.y),
        groupby=reports.Config(panel.group),
        groupby_aggfunc="mean",
        groupby_rangefunc="minmax",
    )


def _images(panel: Panel) -> Any:
    return reports.MediaBrowser(title=panel.title, media_keys=list(panel.y), num_columns=2)


def _table(panel: Panel) -> Any:
    return reports.WeavePanelSummaryTable(table_name=panel.y[0])


_VIRIDIS = (("#440154", 0), ("#31688e", 35), ("#35b779", 70), ("#fde725", 100))
_MADE: Mapping[str, Callable[[Panel], Any]] = {
    "scatter": _scatter,
    "lines": _lines,
    "bars": _bars,
    "images": _images,
    "table": _table,
}

if __name__ == "__main__":
    sys.exit(told(save))
