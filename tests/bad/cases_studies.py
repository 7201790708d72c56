"""Damaged, foreign and contradictory records, learning curves and fits, and what is said of each.

A record is the one source of truth of its run: none that is damaged is read past, or trained over.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bad_runs import (
    FIT,
    PRESCRIBE,
    RECORD,
    REPORT,
    RUN,
    STUDY,
    SUGGEST,
    TRAIN,
    Case,
    all_of,
    file,
    fit,
    fit_with,
    fit_without,
    metrics,
    nothing,
    record,
    record_with,
    record_without,
    three_runs,
)
from laws_study import write_run

MOVE = "move its folder away"
AWAY = "or move it away"
AGAIN = "run `vitladder fit` again"


def copied_run(**changes: str) -> Callable[[], None]:
    """A run's folder under another name, its settings changed."""

    def write() -> None:
        write_run(Path("aside"), "a", **changes)
        Path("aside/a").rename(STUDY / "a-before")

    return write


def of_train(content: str, study: str = "default") -> None:
    """A record of this content where `train` will look for that of its run."""
    from vitladder.compose import compose_config
    from vitladder.train.task import place_of, resolved

    place = place_of(resolved(compose_config([*TRAIN[1:], f"study={study}"]))[0])
    file(place.folder / "record.json", content.replace("KEY", place.run_key))()


RECORDS = [
    Case(
        "a newer schema",
        record('{"schema": 2, "run_key": "a"}'),
        FIT,
        ("study/a/record.json has schema 2, newer than 1", "update vitladder"),
    ),
    Case(
        "half a record",
        record('{"schema": 1, "run_key": "a", "sta'),
        FIT,
        ("study/a/record.json is not a record of vitladder", "not JSON", MOVE),
    ),
    Case(
        "a record of no bytes, for the page",
        record(""),
        REPORT,
        ("study/a/record.json is not a record of vitladder", "it is empty", MOVE),
    ),
    Case("a list", record("[1, 2]"), REPORT, ("a/record.json", "no schema number", MOVE)),
    Case(
        "another program's record.json",
        record('{"experiment": "mlp", "loss": 2.5}'),
        FIT,
        ("study/a/record.json is not a record of vitladder", "no schema number", MOVE),
    ),
    Case(
        "brackets without an end",
        record("[" * 100_000),
        FIT,
        ("study/a/record.json is not a record of vitladder", "nested too deeply", MOVE),
    ),
    Case(
        "bytes that are no text",
        record(b"\xff\xfe\x00{"),
        FIT,
        ("study/a/record.json is not a record of vitladder", "not UTF-8", MOVE),
    ),
    Case(
        "half a letter",
        record_with("command", value="vitladder train \ud83d"),
        REPORT,
        ("study/a/record.json is not a record of vitladder", "text that is not Unicode", MOVE),
    ),
    Case(
        "a named pipe in the place of a record",
        all_of(three_runs, RECORD.unlink, partial(os.mkfifo, RECORD)),
        FIT,
        ("study/a/record.json is not a record of vitladder", "it is a named pipe", MOVE),
    ),
    Case(
        "a folder in the place of a record",
        all_of(three_runs, RECORD.unlink, RECORD.mkdir),
        FIT,
        ("study/a/record.json is not a record of vitladder", "Is a directory", MOVE),
    ),
    Case(
        "results that are text",
        record_with("results", value="good"),
        FIT,
        ("study/a/record.json", "results is not a mapping", MOVE),
    ),
    Case(
        "a loss that is text",
        record_with("results", "val_loss", value="2.31"),
        FIT,
        ("study/a/record.json", "results.val_loss is '2.31', not a number", MOVE),
    ),
    Case(
        "a size that is text, for the page",
        record_with("plan", "n_params", value="4k"),
        REPORT,
        ("study/a/record.json", "plan.n_params is '4k', not a number", MOVE),
    ),
    Case(
        "seconds that are a list",
        record_with("times", value={"seconds": [3]}),
        REPORT,
        ("study/a/record.json", "times.seconds is [3], not a number", MOVE),
    ),
    Case(
        "a status that there is not",
        record_with("status", value="finished"),
        FIT,
        ("study/a/record.json", "status is 'finished', not one of complete, diverged", MOVE),
    ),
    Case(
        "a model that is text",
        record_with("config", "model", value="micro"),
        REPORT,
        ("study/a/record.json", "config.model is 'micro', not a mapping", MOVE),
    ),
    Case(
        "a commit that is a list",
        record_with("environment", value={"versions": "2.9"}),
        REPORT,
        ("study/a/record.json", "environment.versions is '2.9', not a mapping", MOVE),
    ),
    Case(
        "an error that is no text",
        record_with("error", value=["no room"]),
        REPORT,
        ("study/a/record.json", "error is not a string", MOVE),
    ),
]

RUNS = [
    Case(
        "a run without a plan",
        record_without("plan"),
        FIT,
        ("study: no run can be fitted", "1 complete run without", "n_params", "+sweep=demo"),
    ),
    Case(
        "a run without results",
        record_without("results"),
        FIT,
        ("study: no run can be fitted", "1 complete run without", "val_loss", "+sweep=demo"),
    ),
    Case(
        "a loss that is NaN",
        lambda: write_run(STUDY, "a", loss=float("nan")),
        FIT,
        ("study: no run can be fitted", "1 complete run without a finite positive"),
    ),
    Case(
        "runs that all failed",
        lambda: write_run(STUDY, "a", status="failed"),
        FIT,
        ("study: no run is complete (1 failed)", "vitladder train -m +sweep=demo"),
    ),
    Case(
        "a folder that is not called like its run",
        record_with("run_key", value="b"),
        FIT,
        ("study/a/record.json is of run 'b', not of 'a'", "give the folder back its name", AWAY),
    ),
    Case(
        "a copied run",
        all_of(three_runs, copied_run()),
        REPORT,
        ("study/a-before/record.json is of run 'a', not of 'a-before'", AWAY),
    ),
    Case(
        "a copied run with other settings",
        all_of(three_runs, copied_run(attention="naive")),
        FIT,
        ("study/a-before/record.json is of run 'a', not of 'a-before'", AWAY),
    ),
    Case(
        "one run in two studies",
        all_of(three_runs, lambda: write_run(Path("other"), "a")),
        ("fit", "study", "other"),
        ("study run a and other run a are one run",),
    ),
    Case(
        "a run_key of two lines",
        record_with("run_key", value="a\nb"),
        FIT,
        ("study/a/record.json", "run_key is 'a\\nb', not one line of text", MOVE),
    ),
    Case(
        "settings that no law may pool",
        all_of(three_runs, lambda: write_run(STUDY, "d", attention="naive")),
        FIT,
        ("study: one law is over size", "attention.name (naive in run d", "study=NAME", "--by"),
    ),
    Case("no study", nothing, FIT, ("no study", "a study's folder, such as outputs/demo")),
    Case("no study for the page", nothing, REPORT, ("no study at study", "holds a study's runs")),
    Case(
        "an empty folder",
        STUDY.mkdir,
        FIT,
        ("study holds no run (no */record.json)", "+sweep=demo"),
    ),
    Case(
        "a folder of other things, for the page",
        file(STUDY / "photos" / "cat.png", "x"),
        REPORT,
        ("study holds no run (no */record.json)", "a study's folder, such as outputs/demo"),
    ),
    Case(
        "a run in the place of its study",
        three_runs,
        ("report", "study/a"),
        ("study/a holds no run", "it is a run itself", "give the study's folder, study"),
    ),
    Case(
        "a file in the place of a study",
        file("study", "x"),
        REPORT,
        ("no study at study", "it is a file", "holds a study's runs"),
    ),
]

CURVES = [
    Case(
        "a learning curve of no text",
        metrics(b"\xff\xfe\x00\x01\x80\n" * 3),
        REPORT,
        ("study/a/metrics.csv", "not UTF-8", "move it away"),
    ),
    Case(
        "a learning curve without losses",
        metrics("step,images\n1,64\n2,128\n"),
        REPORT,
        (
            "study/a/metrics.csv",
            "its first line has no column flops, train_loss, val_loss",
            "move it away",
        ),
    ),
    Case(
        "a learning curve without a head",
        metrics("1,64,1e9,2.5,0.1,1.0,900,0.1,2.4\n"),
        REPORT,
        ("study/a/metrics.csv", "its first line has no column step", "move it away"),
    ),
    Case(
        "a named pipe in the place of a learning curve",
        all_of(three_runs, partial(os.mkfifo, RUN / "metrics.csv")),
        REPORT,
        ("study/a/metrics.csv", "it is a named pipe", "move it away"),
    ),
    Case(
        "a folder in the place of a learning curve",
        all_of(three_runs, (RUN / "metrics.csv").mkdir),
        REPORT,
        ("study/a/metrics.csv", "Is a directory", "move it away"),
    ),
]

FITS = [
    Case(
        "a study that was not fitted",
        three_runs,
        PRESCRIBE,
        ("no study/fit.json", "run `vitladder fit study`"),
    ),
    Case("half a fit", fit('{"schema": 2, "la'), PRESCRIBE, ("study/fit.json", AGAIN)),
    Case("a fit that is a list", fit("[]"), SUGGEST, ("study/fit.json", "no schema number", AGAIN)),
    Case(
        "a fit of another schema",
        fit('{"schema": 1}'),
        PRESCRIBE,
        ("study/fit.json has schema 1", "this version reads 2", AGAIN),
    ),
    Case("a fit of no text", fit(b"\xff\xfe"), SUGGEST, ("study/fit.json", "not UTF-8", AGAIN)),
    Case(
        "a fit without laws",
        fit_without("laws"),
        PRESCRIBE,
        ("study/fit.json is damaged", "laws", AGAIN),
    ),
    Case(
        "a fit without alpha",
        fit_without("laws", "parametric", "params", "alpha"),
        PRESCRIBE,
        ("study/fit.json is damaged", "laws.parametric.params.alpha", AGAIN),
    ),
    Case(
        "a law that is NaN",
        fit_with("laws", "parametric", "params", "A", value=float("nan")),
        PRESCRIBE,
        ("study/fit.json is damaged", "laws.parametric.params.A", AGAIN),
    ),
    Case(
        "draws that are text",
        fit_with("basis", "draws", value="many"),
        SUGGEST,
        ("study/fit.json is damaged", "basis.draws", AGAIN),
    ),
    Case(
        "settings of a fit that are text",
        fit_with("config", value="micro"),
        PRESCRIBE,
        ("study/fit.json is damaged", "config", AGAIN),
    ),
    Case(
        "a fit without its runs",
        fit_without("basis", "n_params"),
        SUGGEST,
        ("study/fit.json is damaged", "basis.n_params", AGAIN),
    ),
]

OTHERS = [
    Case(
        "training onto half a record",
        lambda: of_train('{"schema": 1, "run'),
        (*TRAIN, "study=default"),
        ("record.json is not a record of vitladder", MOVE),
    ),
    Case(
        "training onto a newer record",
        lambda: of_train('{"schema": 7}'),
        (*TRAIN, "study=default"),
        ("record.json has schema 7, newer than 1", "update vitladder"),
    ),
    Case(
        "training onto the record of another run",
        lambda: of_train('{"schema": 1, "run_key": "0123456789ab", "status": "complete"}'),
        (*TRAIN, "study=default"),
        ("record.json is of run '0123456789ab', not of", AWAY),
    ),
    Case(
        "exporting what is no run",
        three_runs,
        ("export", "study", "weights.pth"),
        ("study holds no checkpoint", "not saved a checkpoint"),
    ),
    Case(
        "exporting a checkpoint of no weights",
        all_of(
            three_runs, file(RUN / "checkpoints" / f"step-3.{'0' * 15}.ckpt", b"these are none")
        ),
        ("export", "study/a", "weights.pth"),
        ("step-3.000000000000000.ckpt is damaged", "bytes have changed since it was saved"),
    ),
    Case(
        "uploading no study",
        nothing,
        ("sync", "study"),
        ("no folder study", "such as outputs/demo"),
    ),
    Case(
        "uploading a study that was not logged",
        three_runs,
        ("sync", "study"),
        ("study has no", "train with logger=wandb first"),
    ),
]

UNREADABLE = Case(
    "a record that may not be read",
    all_of(three_runs, lambda: RECORD.chmod(0)),
    FIT,
    ("study/a/record.json is not a record of vitladder", "Permission denied"),
)

STUDIES = [*RECORDS, *RUNS, *CURVES, *FITS, *OTHERS, *([UNREADABLE] if os.geteuid() else [])]
