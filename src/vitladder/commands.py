"""What each command takes and does; its room is imported only when it is called."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from vitladder import __version__
from vitladder.errors import UserError

HELP = f"""vitladder {__version__}: a ladder of Vision Transformers, and the law it follows

  vitladder train [-m] [KEY=VALUE ...]   train one run; -m: a study of many (+sweep=demo)
  vitladder plan [-m] [KEY=VALUE ...]    what the same command would train, and its cost
  vitladder fit SOURCE ...               fit scaling laws to runs: studies, CSV, Parquet (--help)
  vitladder prescribe FIT --flops C      what to train with so much compute
  vitladder suggest FIT --budget C       which runs would tell most
  vitladder watch STUDY                  how far a study has come, while it trains
  vitladder report STUDY                 write the study's page, report.html
  vitladder plugins                      attention kernels and position encodings, with options
  vitladder data SOURCE                  what is in a data set (digits, a path, --hub ID)
  vitladder bench [KEY=VALUE ...]        what makes a model's training step fast on this machine;
                                         or measure the machine itself (--machine), the loading
                                         of data (--data), the loop (--overhead), and how equal
                                         the runs on several devices are (--parallel)
  vitladder export RUN FILE              write a run's last weights as plain timm loads them
  vitladder sync STUDY                   upload a study's offline Weights & Biases runs
  vitladder dashboard STUDY              make its W&B workspace, or bring it up to date

STUDY is a folder such as outputs/demo. KEY=VALUE is Hydra's syntax; every KEY stands in conf/.
`vitladder --debug COMMAND ...` shows where in the program an error was raised.
"""


def _train(arguments: Sequence[str]) -> int:
    if "--help" in arguments or "-h" in arguments:
        print(HELP, end="")
        return 0
    from vitladder.launch import launch

    return launch(arguments)


def _plan(arguments: Sequence[str]) -> int:
    if "--help" in arguments or "-h" in arguments:
        print(HELP, end="")
        return 0
    from vitladder.launch import show_plan

    return show_plan(arguments)


def _fit(arguments: Sequence[str]) -> int:
    from vitladder.laws import command

    parser = _parser("fit", "fit scaling laws to runs, of studies or of a table")
    command.add_arguments(parser)
    return command.run(parser.parse_args(arguments))


def _prescribe(arguments: Sequence[str]) -> int:
    from vitladder import prescribe

    parser = _deciding("prescribe", "what to train with so much compute, by a fit")
    parser.add_argument("--flops", type=float, required=True, help="training FLOPs, such as 1e21")
    given = parser.parse_intermixed_args(arguments)
    found = prescribe.prescribe(prescribe.ask(given.fit, given.settings), given.flops)
    print(prescribe.written(found) if given.json else prescribe.describe_prescription(found))
    return 0


def _suggest(arguments: Sequence[str]) -> int:
    from vitladder import prescribe

    parser = _deciding("suggest", "the runs within a budget that narrow N* most per FLOP")
    parser.add_argument("--budget", type=float, required=True, help="FLOPs to spend in all")
    parser.add_argument("--target", type=float, help="C of N*, default ten times the largest")
    given = parser.parse_intermixed_args(arguments)
    question = prescribe.ask(given.fit, given.settings)
    found = prescribe.suggest(question, given.budget, given.target)
    print(prescribe.written(found) if given.json else prescribe.describe_suggestion(found))
    return 0


def _deciding(command: str, purpose: str) -> argparse.ArgumentParser:
    """The parser of a command that reads a fit and builds models."""
    parser = _parser(command, purpose)
    parser.add_argument("fit", type=Path, help="a study that was fitted, or a fit.json")
    parser.add_argument(
        "settings", nargs="*", metavar="KEY=VALUE", help="of the model, as in train"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    return parser


def _report(arguments: Sequence[str]) -> int:
    from vitladder.laws.fit import fit_or_reasons
    from vitladder.report.page import write_page

    parser = _parser("report", "write the page of a study: one file, no network")
    parser.add_argument("study", type=Path, help="a study's folder, such as outputs/demo")
    given = parser.parse_args(arguments)
    command = shlex.join(["vitladder", "report", *arguments])
    print(write_page(given.study, fit_or_reasons(given.study), command=command))
    return 0


def _watch(arguments: Sequence[str]) -> int:
    from vitladder.live import watch

    parser = _parser("watch", "show a study until nothing of it is trained any more")
    parser.add_argument("study", type=Path, help="a study's folder, such as outputs/demo")
    return watch(parser.parse_args(arguments).study)


def _plugins(arguments: Sequence[str]) -> int:
    from vitladder.extend import registry

    parser = _parser("plugins", "list attention kernels and position encodings, or check one")
    actions = parser.add_subparsers(dest="action", parser_class=_Parser)
    check = actions.add_parser("check", help="run the conformance kit on a plugin")
    check.add_argument("name", help="such as flash")
    check.add_argument("--kind", choices=registry.KINDS, help="where both have one of this name")
    check.add_argument("--thorough", action="store_true", help="every pair of values, not each")
    check.add_argument("--device", default="cpu", help="such as cuda")
    given = parser.parse_args(arguments)
    if given.action == "check":
        from vitladder.extend.conformance import command

        kind = given.kind or command.kind_of(given.name)
        return command.check(given.name, kind=kind, thorough=given.thorough, device=given.device)
    print("\n".join(line for kind in registry.KINDS for line in _listed(kind)))
    return 0


def _listed(kind: str) -> list[str]:
    """All plugins of a kind with their options; UserError where one cannot be read."""
    from vitladder.extend import registry
    from vitladder.extend.conformance.declared import read_exceptions

    lines = [f"{kind}:"]
    for plugin in registry.discover(kind).values():
        declared = plugin.declaration()
        lines.append(f"  {plugin.name:<12} {declared.summary}  [{plugin.origin}]")
        for name, option in declared.options.items():
            lines.append(f"    {kind}.{name}={option.default}  ({option.annotation})")
        for rule, reason in read_exceptions(plugin.file).items():
            lines.append(f"    known exception to {rule}: {reason}")
    return lines


def _data(arguments: Sequence[str]) -> int:
    from vitladder.compose import compose_config
    from vitladder.data.cache import prepare
    from vitladder.data.describe import describe
    from vitladder.data.inspection import format_inspection, guess, inspect

    parser = _parser("data", "show what is in a data set, and decode it into the cache")
    parser.add_argument("source", help="digits, or the path of a parquet file or an image folder")
    parser.add_argument("--hub", action="store_true", help="SOURCE is a Hugging Face hub id")
    parser.add_argument("--outputs", type=Path, default=Path("outputs"), help="root of the cache")
    given = parser.parse_args(arguments)
    kind = "hub" if given.hub else guess(given.source)
    path = [] if kind == "digits" else ["data.path=SOURCE"]
    data = replace(compose_config([f"data={kind}", *path]).data, path=given.source)
    cache, shape = given.outputs / ".cache", describe(data)
    prepare(data, image_size=shape.image_size, channels=shape.channels, folder=cache)
    print(format_inspection(inspect(data, cache)))
    return 0


def _bench(arguments: Sequence[str]) -> int:
    from vitladder.bench.command import bench

    parser = _parser("bench", "measure a model's training step, or this machine and this program")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="the model, as in train")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--machine", action="store_true", help="peaks, bandwidth, costs of steps")
    what.add_argument("--overhead", action="store_true", help="the loop against a bare loop")
    what.add_argument("--parallel", action="store_true", help="each layout against one device")
    what.add_argument("--data", metavar="PATH", help="our loader against ImageFolder, on a parquet")
    given = parser.parse_args(arguments)
    if not (given.machine or given.overhead or given.data or given.parallel):
        # torch's profiler, which counts memory, speaks on stderr unless told before it is loaded.
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")
        # A Triton kernel that is interpreted shows nothing of its speed.
        os.environ["TRITON_INTERPRET"] = "0"
        from vitladder.bench.ladder_report import bench_ladder

        bench_ladder(given.settings)
        return 0
    if given.parallel:
        from vitladder.bench.command import bench_parallel

        print(bench_parallel(given.settings))
        return 0
    if given.settings:
        raise UserError(
            f"bench: {given.settings[0]} is of the ladder and of --parallel, which measure a model"
        )
    print(bench(machine=given.machine, overhead=given.overhead, data=given.data))
    return 0


def _export(arguments: Sequence[str]) -> int:
    parser = _parser("export", "write the weights of a run's last checkpoint for plain timm")
    parser.add_argument("run", type=Path, help="a run's folder, such as outputs/demo/0dcc8f10fce1")
    parser.add_argument("file", type=Path, help="a new file, such as weights.pth")
    given = parser.parse_args(arguments)
    from vitladder.train.export import export

    print(export(given.run, given.file))
    return 0


def _sync(arguments: Sequence[str]) -> int:
    from vitladder.runs.wandb_sync import sync

    parser = _parser("sync", "send Weights & Biases what it lacks of a study's runs")
    parser.add_argument("study", type=Path, help="a study's folder, such as outputs/demo")
    given = parser.parse_args(arguments)
    synced = sync(given.study)
    print(f"W&B runs uploaded: {synced.now} now, {synced.before} before")
    if synced.sending:
        print(f"left to another process, which is sending them now: {synced.sending}")
    return 0


def _dashboard(arguments: Sequence[str]) -> int:
    from vitladder.runs.wandb_dashboard import dashboard, save, specification

    parser = _parser("dashboard", "make a study's W&B workspace, or bring it up to date")
    parser.add_argument("study", type=Path, help="a study's folder, such as outputs/demo")
    parser.add_argument("--entity", help="whose workspace, default the runs', or yours")
    parser.add_argument("--project", help="default the runs'")
    parser.add_argument("--dry-run", action="store_true", help="print what would be made")
    given = parser.parse_args(arguments)
    shown = dashboard(given.study, given.entity, given.project)
    print(specification(shown) if given.dry_run else save(given.study, shown))
    return 0


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "train": _train,
    "plan": _plan,
    "fit": _fit,
    "prescribe": _prescribe,
    "suggest": _suggest,
    "watch": _watch,
    "report": _report,
    "plugins": _plugins,
    "data": _data,
    "bench": _bench,
    "export": _export,
    "sync": _sync,
    "dashboard": _dashboard,
}


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Raise UserError."""
        raise UserError(f"{self.prog.partition(' ')[2]}: {message}; see {self.prog} --help")


def _parser(command: str, purpose: str) -> argparse.ArgumentParser:
    return _Parser(prog=f"vitladder {command}", description=purpose)
