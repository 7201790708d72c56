"""The wheel, installed in a clean environment, works from any folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel; the dependencies come from this one, to spare 5 GB."""
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"
    left_out = shutil.ignore_patterns(".*", "outputs", "build", "dist", "*.egg-info", "tests")
    shutil.copytree(CHECKOUT, sources, ignore=left_out)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, sources],
        check=True,
        capture_output=True,
    )
    environment = folder / "environment"
    venv.create(environment, with_pip=False)
    site = environment / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    [wheel] = folder.glob("vitladder-*.whl")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            environment / "bin" / "python",
            "install",
            "--no-deps",
            "--no-index",
            wheel,
        ],
        check=True,
        capture_output=True,
    )
    # After the environment's own packages, so that vitladder is the wheel's and not the checkout's.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin" / "vitladder"


def run(command: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.run([command, *arguments], capture_output=True, text=True, env=clean)


@pytest.mark.slow
def test_the_wheel_is_what_runs(installed: Path) -> None:
    code = "import vitladder; print(vitladder.__file__)"
    done = subprocess.run(
        [installed.with_name("python"), "-c", code], capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()).is_relative_to(installed.parents[1])


@pytest.mark.slow
def test_settings_studies_and_plugins_travel_in_the_wheel(installed: Path) -> None:
    listed = run(installed, "plugins")
    assert listed.returncode == 0, listed.stderr
    for name in ("naive", "sdpa", "learned", "sincos2d"):
        assert name in listed.stdout
    planned = run(installed, "plan", "-m", "+sweep=demo", "--json")
    assert planned.returncode == 0, planned.stderr
    assert len(json.loads(planned.stdout)["runs"]) >= 20


@pytest.mark.slow
def test_the_wheel_works_inside_of_a_checkout(installed: Path) -> None:
    for folder in ("plugins", "sweeps"):
        shutil.copytree(CHECKOUT / folder, folder, ignore=shutil.ignore_patterns("__pycache__"))
    listed = run(installed, "plugins")
    assert listed.returncode == 0, listed.stderr
    assert "./plugins" not in listed.stdout
    planned = run(installed, "plan", "-m", "+sweep=demo")
    assert planned.returncode == 0, planned.stderr
    Path("plugins/attention/naive.py").write_text("class Naive: ...\n")
    clash = run(installed, "plugins")
    assert clash.returncode == 2
    assert "two attention plugins are called 'naive'" in clash.stderr


@pytest.mark.slow
def test_the_wheel_trains_fits_and_reports(installed: Path) -> None:
    study = ["study=tiny", "model=micro-8", "logger=csv", "hydra/launcher=joblib"]
    done = run(installed, "train", "-m", *study, "compute.steps=5,6")
    assert done.returncode == 0, done.stdout + done.stderr
    done = run(installed, "report", "outputs/tiny")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).exists()
