"""What W&B is told of a run, kept in the run's folder so that any process can tell it later."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from vitladder.errors import UserError
from vitladder.runs.atomic import write_text
from vitladder.runs.metrics import read_rows
from vitladder.runs.reading import Unreadable, json_of, kept_text_of
from vitladder.runs.record import Record, read_record
from vitladder.runs.wandb_fit import digests
from vitladder.runs.wandb_names import in_wandb

ID_FILE = ".wandb-id"
ABOUT_FILE = ".wandb-about.json"
FIT_JOB = "fit"
"""The job type of a study's fit; that of a run is "train"."""

KERNEL, ENCODING = "kernel", "encoding"
"""In W&B's config, what its panels group by."""

SENT_FILE = ".wandb-sent.json"

_TAGGED = ("attention", "position", "precision", "parallel")
_OURS = ("wandb", "wandb_online")


@dataclass(frozen=True)
class About:
    """A W&B run: where it belongs, its config; a fit's summary too, as it has no record.json."""

    project: str
    entity: str | None
    group: str
    job_type: str
    name: str
    config: dict[str, Any]
    summary: dict[str, Any] | None = None
    tags: Sequence[str] = ()
    notes: str | None = None


@dataclass(frozen=True)
class Sent:
    """What a server has of a run, confirmed by itself."""

    server: str
    wandb_id: str
    project: str
    entity: str | None
    last_step: int
    summary: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)


def about_run(
    config: Mapping[str, Any], plan: Mapping[str, Any], run_key: str, command: str
) -> About:
    """Describe a training run by its config, as nested mappings, its plan, and what was typed."""
    logger = config["logger"]
    project, entity = _of_sweep(logger) if under_agent() else (logger["project"], logger["entity"])
    return About(
        project=project,
        entity=entity,
        group=config["study"],
        job_type="train",
        name=run_key,
        config={**_flat({**config, "plan": plan}), **_plain(config)},
        tags=[f"{group}={config[group]['name']}" for group in _TAGGED if group in config],
        notes=command or None,
    )


def under_agent() -> bool:
    """Whether an agent of W&B's sweeps has called this command."""
    return "WANDB_SWEEP_ID" in os.environ


def check_sweep(logger_name: str) -> None:
    """Raise UserError where a run is for W&B, and its sweep's agent was not told the project.

    W&B puts it where the sweep is, whatever it is told, so nobody here would know where that is.
    """
    if under_agent() and logger_name in _OURS and "WANDB_PROJECT" not in os.environ:
        raise UserError(
            "the agent of a W&B sweep was not told the sweep's project; call it as "
            "`wandb agent ENTITY/PROJECT/SWEEP`, as `wandb sweep` says"
        )


def check_agent() -> None:
    """Raise UserError for a multirun under an agent of W&B's sweeps, which asks for one run."""
    if under_agent():
        raise UserError(
            "train -m: an agent of a W&B sweep asks for one run; leave -m and lists of values out "
            "of the sweep's command, and give them as its parameters"
        )


def _of_sweep(logger: Mapping[str, Any]) -> tuple[str, str | None]:
    """Project and entity of the sweep, where W&B puts its runs; None is the user's default."""
    # Without one only runs that are not for W&B pass `check_sweep`.
    project = os.environ.get("WANDB_PROJECT", logger["project"])
    return project, os.environ.get("WANDB_ENTITY")


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """What dashboards group by, under names without a dot, which W&B takes for a path."""
    found = {KERNEL: config.get("attention", {}), ENCODING: config.get("position", {})}
    return {name: group["name"] for name, group in found.items() if "name" in group}


def _flat(node: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def write_about(folder: Path, about: About) -> None:
    """Keep what W&B is told, for whoever sends the run."""
    write_text(folder / ABOUT_FILE, json.dumps(asdict(about), indent=1, default=str) + "\n")


def read_about(folder: Path) -> About | None:
    """Return what W&B is told of a folder's run, or None where nobody asked for W&B."""
    file = folder / ABOUT_FILE
    if file.exists():
        return _about(file)
    record = read_record(folder)
    config = record.config if record else _config(folder)
    if config.get("logger", {}).get("name") not in _OURS:
        return None
    known = (record.plan, record.command) if record else ({}, "")
    return about_run(config, known[0], folder.name, known[1])


def runs_for_wandb(study: Path) -> list[tuple[Path, About]]:
    """Return the folders of a study that W&B is told of, runs and fit, each with what it is told.

    Raises UserError where there is no study, or nobody asked for W&B.
    """
    if not study.is_dir():
        raise UserError(f"there is no folder {study}; STUDY is a study's, such as outputs/demo")
    folders = sorted(folder for folder in study.iterdir() if folder.is_dir())
    found = [(folder, about) for folder in folders if (about := read_about(folder)) is not None]
    if not found:
        raise UserError(f"{study} has no run for W&B; train with logger=wandb first")
    return found


def _about(file: Path) -> About:
    """What a file says. Raises UserError where it is damaged, or of another version."""
    try:
        return About(**json_of(file))
    except (Unreadable, TypeError) as why:
        raise UserError(f"{file} is damaged ({why}); remove it, and sync again") from why


def _config(folder: Path) -> dict[str, Any]:
    """The config of a run that was killed before it had a record."""
    file = folder / "config.yaml"
    if not file.exists():
        return {}
    try:
        config = yaml.safe_load(kept_text_of(file)) or {}
    except (Unreadable, yaml.YAMLError) as why:
        said = " ".join(str(why).split())
        raise UserError(f"{file} is damaged ({said}); move its folder away") from why
    if not isinstance(config, dict):
        raise UserError(f"{file} is damaged (it is no mapping); move its folder away")
    return config


def wandb_id(folder: Path) -> str:
    """Return the W&B id of a run's folder, the same for all its sessions.

    It is drawn, not made of the run_key: W&B refuses one id in two places at once, and the same run
    may be trained in two studies or on two machines.
    """
    file = folder / ID_FILE
    if not file.exists():
        write_text(file, draw_id())
    return file.read_text(encoding="utf-8")


def begin_id(folder: Path) -> str:
    """Return the W&B id of a run that is trained now; an agent of W&B's sweeps has drawn it."""
    given = os.environ.get("WANDB_RUN_ID")
    if under_agent() and given:
        write_text(folder / ID_FILE, given)
    return wandb_id(folder)


def draw_id() -> str:
    """Return an id that no other run has."""
    return uuid.uuid4().hex[:16]


def summary_of(record: Record) -> dict[str, Any]:
    """C, N, D, loss and the rest, for W&B's scatter panels and sweeps."""
    figures = {**asdict(record.results), "n_params": record.plan.get("n_params")}
    config = _flat({**record.config, "plan": record.plan})
    return in_wandb({**figures, "status": record.status}, config)


def to_send(folder: Path, about: About) -> Sent:
    """Return what the server of this process's environment would have if it had all."""
    record, rows = read_record(folder), read_rows(folder)
    return Sent(
        # Of the environment alone: to ask W&B's client for its default takes longer than to sync.
        server=os.environ.get("WANDB_BASE_URL", ""),
        wandb_id=wandb_id(folder),
        project=about.project,
        entity=about.entity,
        last_step=int(rows[-1]["step"]) if rows else -1,
        summary=about.summary or (summary_of(record) if record else {}),
        files=digests(folder.parent) if about.job_type == FIT_JOB else {},
    )


def write_sent(folder: Path, sent: Sent) -> None:
    """Remember what W&B has confirmed."""
    write_text(folder / SENT_FILE, json.dumps(asdict(sent), indent=1) + "\n")


def is_sent(folder: Path, sent: Sent) -> bool:
    """Whether W&B has confirmed just this."""
    file = folder / SENT_FILE
    text = json.dumps(asdict(sent), indent=1) + "\n"
    # As bytes: a damaged file is only another text, and the run is sent again.
    return file.is_file() and file.read_bytes() == text.encode()
