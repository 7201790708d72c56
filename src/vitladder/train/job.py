"""Job: one run to be trained, also as a file that the processes of a run read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from omegaconf import OmegaConf

from vitladder.compose import from_hydra
from vitladder.compute.plan import plan
from vitladder.config import Config, DataShape
from vitladder.runs.invocation import Invocation
from vitladder.runs.record import Record, Results, now
from vitladder.runs.sweep import Place


@dataclass(frozen=True)
class Job:
    """One run to be trained, where, and the command that asked for it."""

    config: Config
    data: DataShape
    place: Place
    invocation: Invocation


def write_job(job: Job, file: Path) -> Path:
    """Write the job as JSON, and return the file."""
    file.write_text(json.dumps(asdict(job), default=str), encoding="utf-8")
    return file


def read_job(file: Path) -> Job:
    """Return a job that write_job wrote."""
    data = json.loads(file.read_text(encoding="utf-8"))
    place = data["place"]
    return Job(
        from_hydra(OmegaConf.create(data["config"])),
        DataShape(**data["data"]),
        Place(Path(place["outputs"]), place["study"], place["run_key"]),
        Invocation(**data["invocation"]),
    )


def new_record(job: Job) -> Record:
    """Return the record of a run that has only begun: it is interrupted until it says more."""
    return Record(
        run_key=job.place.run_key,
        study=job.config.study,
        status="interrupted",
        config=asdict(job.config),
        plan=asdict(plan(job.config, job.data)),
        results=Results(),
        environment={"invocation": job.invocation.name},
        times={"start": now(), "end": now(), "seconds": 0.0},
        command=job.invocation.command,
    )
