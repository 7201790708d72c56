"""Bad settings and plugins end the real command with code 2 and one line, and leave nothing."""

from __future__ import annotations

from pathlib import Path

import forked
import pytest
from bad_runs import Case
from cases_plugins import PLUGINS
from cases_settings import SETTINGS

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
    for words in case.says:
        assert words in done.stderr
    assert files_here() == before
    return done.stderr


@pytest.mark.parametrize("case", [*SETTINGS, *PLUGINS], ids=lambda case: case.name)
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
    ],
    ids=lambda settings: settings[-1].replace(SECRET, "SECRET"),
)
def test_a_key_in_a_setting_is_refused_and_not_shown(name: str, settings: tuple[str, ...]) -> None:
    words = tuple(word.replace("NAME", name) for word in settings)
    case = Case("a key", lambda: None, ("train", *words), (name, "leave it in the environment"))
    assert SECRET not in assert_refused(case, **{name: SECRET})


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


def test_debug_shows_where_an_error_was_raised_and_nothing_else_does() -> None:
    plain, debug = forked.run("fit", "nothing"), forked.run("--debug", "fit", "nothing")
    assert (plain.returncode, debug.returncode) == (2, 2)
    assert "Traceback" not in plain.stderr
    assert debug.stderr.startswith("Traceback")
    assert plain.stderr.strip().removeprefix("vitladder: ") in debug.stderr


def break_the_program() -> None:
    """Take away what the command cannot do without."""
    import vitladder.laws.command

    del vitladder.laws.command.run


def test_a_fault_of_the_program_is_one_line_too_and_debug_shows_it() -> None:
    for words, says in (([], "vitladder: unexpected AttributeError: "), (["--debug"], "Traceback")):
        said = Path("said").absolute()
        process = forked.start([*words, "fit", "nothing"], said, before=break_the_program)
        process.join(60)
        assert process.exitcode == 1
        assert said.with_suffix(".err").read_text().startswith(says)
