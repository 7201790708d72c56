"""Bad settings and plugins end the real command with code 2 and one line, and leave nothing."""

from __future__ import annotations

from pathlib import Path

import forked
import pytest
from bad_runs import Case, nothing
from cases_commands import COMMANDS
from cases_plugins import PLUGINS
from cases_settings import SETTINGS, study

SECRET = "4f9d" * 10


def files_here() -> set[str]:
    """Everything below the working folder, but for the user's own cache."""
    return {str(file) for file in Path().rglob("*") if file.parts[0] != ".user-cache"}


def assert_refused(case: Case, **environment: str) -> str:
    case.write()
    before = files_here()
    done = forked.run(*case.command, seconds=60, environment=environment)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("vitladder: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.endswith("\n")
    assert "Traceback" not in done.stderr
    for words in case.says:
        assert words in done.stderr
    assert files_here() == before
    return done.stderr


@pytest.mark.parametrize("case", [*SETTINGS, *PLUGINS, *COMMANDS], ids=lambda case: case.name)
def test_bad_settings_are_one_line_that_says_what_where_and_what_would_be_right(case: Case) -> None:
    assert_refused(case)


@pytest.mark.parametrize("name", ["WANDB_API_KEY", "HF_TOKEN", "OUR_SECRET", "DB_PASSWORD"])
@pytest.mark.parametrize(
    "settings",
    [
        ("study=${oc.env:NAME}",),
        ("logger.entity=${oc.env:NAME}",),
        ("model.width=${oc.env:NAME}",),
        (f"logger.project={SECRET}",),
        (f"study=a-{SECRET}-b",),
        ("-m", "seed=0,1", f"hydra.launcher.name={SECRET}"),
        ("-m", "seed=0,1", "hydra.launcher.name=${oc.env:NAME}"),
    ],
    ids=lambda settings: settings[-1].replace(SECRET, "SECRET"),
)
def test_a_key_in_a_setting_is_refused_and_not_shown(name: str, settings: tuple[str, ...]) -> None:
    words = tuple(word.replace("NAME", name) for word in settings)
    case = Case("a key", nothing, ("train", *words), (name, "leave it in the environment"))
    assert SECRET not in assert_refused(case, **{name: SECRET})


@pytest.mark.parametrize("command", [("report",), ("data",), ("fit", "--column"), ("sync",)])
def test_a_key_in_any_command_is_refused_and_not_shown(command: tuple[str, ...]) -> None:
    case = Case("a key", nothing, (*command, SECRET), ("the command", "HF_TOKEN"))
    assert SECRET not in assert_refused(case, HF_TOKEN=SECRET)


@pytest.mark.parametrize("value", [SECRET, "${oc.env:HF_TOKEN}"], ids=["pasted", "referred to"])
@pytest.mark.parametrize("key", ["study", "logger: {project", "hydra: {launcher: {name"])
def test_a_key_in_a_studys_file_is_refused_and_not_shown(key: str, value: str) -> None:
    write = study(f"{key}: '{value}'{'}' * key.count('{')}\n")
    case = Case("a key", write, ("train", "-m", "+sweep=mine"), ("mine.yaml", "HF_TOKEN"))
    assert SECRET not in assert_refused(case, HF_TOKEN=SECRET)


@pytest.mark.slow
def test_keys_of_the_environment_are_in_nothing_that_is_written() -> None:
    keys = {"WANDB_API_KEY": SECRET, "HF_TOKEN": "hf_" + SECRET}
    settings = ("model=micro-8", "compute.steps=20", "threads=1")
    done = forked.run("train", *settings, environment=keys)
    assert done.returncode == 0, done.stderr
    page = forked.run("report", "outputs/default", environment=keys)
    assert page.returncode == 0, page.stderr
    assert SECRET not in done.stdout + done.stderr + page.stdout + page.stderr
    written = [file for file in Path("outputs").rglob("*") if file.is_file()]
    assert len(written) > 10
    for file in written:
        assert SECRET.encode() not in file.read_bytes(), file


def test_debug_shows_where_an_error_was_raised_and_then_the_line() -> None:
    plain, debug = forked.run("fit", "nothing"), forked.run("--debug", "fit", "nothing")
    assert (plain.returncode, debug.returncode) == (2, 2)
    assert plain.stderr.count("\n") == 1
    assert debug.stderr.startswith("Traceback")
    assert debug.stderr.endswith(f"\n{plain.stderr}")
    assert forked.run("--debug", "--version").stdout.startswith("vitladder ")


def break_the_program() -> None:
    """Take away what the command cannot do without."""
    import vitladder.laws.command

    del vitladder.laws.command.run


@pytest.mark.parametrize("flags", [[], ["--debug"]])
def test_a_fault_of_the_program_is_one_line_too_and_debug_shows_it(flags: list[str]) -> None:
    said = Path("said").absolute()
    process = forked.start([*flags, "fit", "nothing"], said, before=break_the_program)
    process.join(60)
    assert process.exitcode == 1
    *shown, line = said.with_suffix(".err").read_text().splitlines()
    assert line.startswith("vitladder: unexpected AttributeError: ")
    assert line.endswith(" (a fault of vitladder; `vitladder --debug ...` shows where)")
    assert shown[:1] == (["Traceback (most recent call last):"] if flags else [])
