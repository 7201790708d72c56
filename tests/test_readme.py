"""The README's commands do what it says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from laws_study import write_study

CHECKOUT = Path(__file__).parents[1]
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)
LINES = [
    line.partition("#")[0].strip()
    for language, block in BLOCKS
    if language == "bash"
    for line in block.splitlines()
    if line.strip()
]
# Run as they stand are the first run, the plugins and the data; a study of minutes or an hour is
# planned instead of trained: the same settings, composed, resolved and checked in the same way. The
# demo is trained, fitted and reported at a small size in test_study.py. A benchmark's own tests run
# it at a small size; here it is asked for the line's flags.
PLANNED = [line for line in LINES if line.startswith(("vitladder train", "vitladder plan"))]
TABLES = [line for line in LINES if line.startswith("vitladder fit $CHINCHILLA")]
DECIDING = ("vitladder prescribe", "vitladder suggest")
DECISIONS = [line for line in LINES if line.startswith(DECIDING)]
AFTER_A_STUDY = [
    line
    for line in LINES
    if line.startswith(("vitladder fit", "vitladder report", "vitladder watch"))
    and line not in TABLES
]
SCRIPTS = [line for line in LINES if line.startswith("python")]
CHECKS = [line for line in LINES if "plugins check" in line]
ALONE = [
    line
    for line in LINES
    if line.startswith(("vitladder plugins", "vitladder data")) and line not in CHECKS
]
MEASURING = [line for line in LINES if line.startswith("vitladder bench")]
MAKE = [line for line in LINES if line.startswith("make")]

Here = Callable[..., subprocess.CompletedProcess[str]]


def arguments(line: str, data: str = "") -> list[str]:
    """What follows `vitladder` in a line, with a data set's path in place of its variable."""
    _, *words = shlex.split(re.sub(r"\$(CIFAR10|CHINCHILLA)", data or "no-such-data", line))
    return words


def run(command: str, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line that trains, in a process of its own."""
    return subprocess.run([command, *arguments(line)], capture_output=True, text=True, timeout=300)


def test_every_command_of_the_readme_has_a_test_below() -> None:
    tried = [*PLANNED, *AFTER_A_STUDY, *ALONE, *CHECKS, *MEASURING, *MAKE]
    tried += [*TABLES, *DECISIONS, *SCRIPTS]
    left = [line for line in LINES if line not in tried]
    assert left == []
    assert len(PLANNED) >= 5


@pytest.mark.parametrize("line", PLANNED)
def test_a_run_or_study_of_the_readme_can_be_planned(
    here: Here, line: str, request: pytest.FixtureRequest
) -> None:
    folder = str(request.getfixturevalue("cifar10")) if "$CIFAR10" in line else ""
    if "mine" in line:
        write_plugin()
    done = here(*arguments(line.replace("vitladder train", "vitladder plan"), folder))
    assert done.returncode == 0, done.stderr
    assert "training FLOPs" in done.stdout


@pytest.mark.slow
def test_the_first_run_of_the_readme_trains(command: str) -> None:
    first = next(line for line in LINES if line.startswith("vitladder train"))
    done = run(command, first)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "complete" in done.stdout


@pytest.mark.parametrize("line", MEASURING)
def test_a_benchmark_of_the_readme_is_one_that_there_is(here: Here, line: str) -> None:
    flags = [word for word in shlex.split(line) if word.startswith("--")]
    usage = here("bench", "--help").stdout
    assert all(flag in usage for flag in flags)
    assert flags or "measure a model's training step" in usage


@pytest.mark.parametrize("line", ALONE)
def test_a_command_that_shows_something_does(here: Here, line: str) -> None:
    done = here(*arguments(line))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_a_fitted_study_decides_as_the_readme_says(here: Here) -> None:
    write_study(Path("outputs/demo"), noise=0.003)
    for line in [*AFTER_A_STUDY, *DECISIONS]:
        if "outputs/demo" in line:
            done = here(*arguments(line))
            assert done.returncode == 0, done.stderr
            assert done.stdout.strip()


@pytest.mark.parametrize("line", TABLES)
def test_a_table_is_fitted_as_the_readme_says(here: Here, line: str, chinchilla_csv: Path) -> None:
    done = here(*arguments(line, str(chinchilla_csv)))
    assert done.returncode == 0, done.stderr
    assert "8 of 8 starts agree" in done.stdout
    assert "0.00101827" in done.stdout


@pytest.mark.parametrize("line", SCRIPTS)
def test_a_script_of_the_readme_is_there(line: str) -> None:
    assert (CHECKOUT / shlex.split(line)[1]).is_file()


@pytest.mark.slow
def test_the_plugin_of_the_readme_trains(command: str, here: Here) -> None:
    write_plugin()
    assert "attention.temperature=1.0" in here("plugins").stdout
    tiny = "model=micro-8 compute.steps=3 logger=csv attention=mine attention.temperature=2"
    done = run(command, f"vitladder train {tiny}")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("line", CHECKS)
def test_a_kernel_of_the_readme_conforms(here: Here, line: str) -> None:
    if "mine" in line:
        write_plugin()
    done = here(*arguments(line[line.index("vitladder") :]))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every rule holds" in done.stdout


@pytest.mark.parametrize("line", MAKE)
def test_a_make_target_exists(line: str) -> None:
    done = subprocess.run(
        [*shlex.split(line), "--dry-run"], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_pictures_and_files_that_the_readme_names_exist() -> None:
    for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (CHECKOUT / name).exists(), name
    for name in re.findall(r"`(plugins/\w+/\w+\.py)`", README):
        if "mine" not in name:
            assert (CHECKOUT / name).exists(), name
    assert len(README.splitlines()) <= 200


def write_plugin() -> None:
    """Write the README's plugin where it says."""
    [source] = [block for language, block in BLOCKS if language == "python"]
    file = Path(os.curdir) / source.splitlines()[0].removeprefix("# ")
    file.parent.mkdir(parents=True)
    file.write_text(source)
