"""The command as a person types it: what it answers, how it fails, and that it is quick."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vitladder.bench.ladder_report import bench_ladder
from vitladder.commands import COMMANDS
from vitladder.errors import UserError

Done = subprocess.CompletedProcess[str]
Here = Callable[..., Done]


def run(command: str, *arguments: str) -> Done:
    """Run `vitladder` with these arguments."""
    return subprocess.run([command, *arguments], capture_output=True, text=True, timeout=240)


def png(colour: int) -> bytes:
    """One 8 x 8 image file."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def no_images(tmp_path: Path) -> Path:
    """A parquet file without images."""
    file = tmp_path / "table.parquet"
    pq.write_table(pa.table({"a": [1, 2], "label": [0, 1]}), file)
    return file


@pytest.fixture
def corrupt(tmp_path: Path) -> Path:
    """A parquet file whose row 17 is not an image."""
    images = [png(i) for i in range(40)]
    images[17] = b"not an image"
    file = tmp_path / "pictures.parquet"
    pq.write_table(pa.table({"image": images, "label": [i % 2 for i in range(40)]}), file)
    return file


def assert_one_line(done: Done, *says: str) -> None:
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("vitladder: ")
    for text in says:
        assert text in lines[0]
    assert not list(Path("outputs").glob("*/*/record.json"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["trainn"], "no command 'trainn'; did you mean 'train'?"),
        (["train", "attention=spda"], "no attention plugin 'spda'; did you mean 'sdpa'?"),
        (["train", "model.width=65"], "model.width=65 is not a multiple of model.heads=2"),
        (["train", "model.width=66"], "position=sincos2d cannot serve this model"),
        (["train", "compute.flops=-1"], "compute.flops=-1 is impossible"),
        (["train", "compute.flops=1"], "compute.flops=1 is less than one step"),
        (["train", "optim.name=adamx"], "no optimizer 'adamx'"),
        (["train", "parallel.device=cuda"], "parallel.device=cuda is not there"),
        (["train", "model.patch=3"], "model.patch=3 does not divide"),
        (["train", "data=parquet", "data.path=/no/where"], "/no/where"),
        (["train", "--verbose"], "there is no flag --verbose"),
        (["train", "model.width=8,16"], "which needs -m"),
        (["train", "-m", "model.width=8,65"], "model.width=65 is not a multiple"),
        (["train", "+sweep=demo"], "add -m: vitladder train -m +sweep=demo"),
        (["plan", "+sweep=shape"], "the study sweeps model.depth and model.width"),
        (["train", "-m", "+sweep=demo,shape"], "a command has one study"),
        (["train", "compute.steps=1e30"], "a run has at most 4294967295"),
        (["train", "ladder.relative=1", "ladder.exponent=1000"], "aims at 0 parameters"),
        (["plan", "model=s17"], "no choice of model 's17'"),
        (["plan", "parallel.device=cuda"], "parallel.device=cuda is not there; hardware=NAME"),
        (["fit", "outputs/none"], "outputs/none"),
        (["report", "outputs/none"], "outputs/none"),
        (["sync", "outputs/none"], "there is no folder outputs/none; STUDY is a study's"),
        (["data", "/no/where"], "/no/where"),
        (["fit"], "the following arguments are required: source"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(here: Here, arguments: list[str], says: str) -> None:
    assert_one_line(here(*arguments), says)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["trainn"], "no command 'trainn'"),
        (["train", "attention=spda"], "no attention plugin 'spda'"),
        (["train", "parallel.device=cuda"], "parallel.device=cuda is not there"),  # asks torch
    ],
)
def test_a_process_of_its_own_says_no_more(command: str, arguments: list[str], says: str) -> None:
    assert_one_line(run(command, *arguments), says)


def test_a_parquet_without_images_is_one_line(here: Here, no_images: Path) -> None:
    done = here("train", "data=parquet", f"data.path={no_images}")
    assert_one_line(done, "table.parquet has no image column", "a, label")


def test_a_corrupt_image_is_named_by_file_and_row(command: str, corrupt: Path) -> None:
    done = run(command, "train", "data=parquet", f"data.path={corrupt}")
    assert_one_line(done, "pictures.parquet row 17")


def test_help_lists_every_command_and_imports_nothing_heavy(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    for name in COMMANDS:
        assert f"vitladder {name}" in done.stdout
    code = (
        "import sys; from vitladder.cli import main; main(['--help']); "
        "heavy = {'torch', 'hydra', 'numpy', 'matplotlib', 'wandb'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_config_errors_need_no_torch() -> None:
    wrong = ["attention=spda", "model.width=65", "model.patch=3", "compute.flops=-1"]
    code = (
        "import sys; from vitladder.cli import main; "
        "assert {main(['train', wrong]) for wrong in sys.argv[1:]} == {2}; "
        "sys.exit('torch was imported' if 'torch' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, *wrong], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == len(wrong)


def test_no_command_names_them_and_fails(here: Here) -> None:
    assert_one_line(here(), "no command; vitladder --help explains them: train, plan")


def test_the_plan_is_a_table_or_one_json_object(here: Here) -> None:
    study = ["plan", "-m", "+sweep=demo", "compute.flops=1e9,1e10", "ladder.relative=1,2"]
    assert "4 runs" in here(*study).stdout
    planned = json.loads(here(*study, "--json").stdout)
    assert len(planned["runs"]) == 4
    assert planned["total"]["flops"] == sum(one["flops"] for one in planned["runs"])
    keys = {"run_key", "n_params", "forward_flops_per_image", "flops", "images", "steps", "epochs"}
    keys |= {"peak_memory_bytes", "seconds", "micro_batch"}
    assert keys <= set(planned["runs"][0])
    assert set(planned["total"]) == {"flops", "seconds", "energy_kwh", "money"}


def test_the_plan_for_a_machine_elsewhere_says_what_fits_and_what_it_costs(here: Here) -> None:
    large = ["model=b16", "model.image_size=224", "data.batch_size=2048", "compute.flops=1e17"]
    done = here("plan", *large, "hardware=l4", "price=2")
    assert done.returncode == 0, done.stderr
    for words in ("1 run on l4", "kWh", "at the given price", "assumed, not measured"):
        assert words in done.stdout
    assert "does not fit: it needs" in done.stdout
    assert "these do: " in done.stdout
    assert "parallel.micro_batch=" in done.stdout


def test_a_plan_may_compare_machines_and_ways_to_train(here: Here) -> None:
    compared = ["plan", "-m", "hardware=h100,t4", "compute.flops=1e13", "price=1,2"]
    done = here(*compared)
    assert "4 runs on 2 machines" in done.stdout
    prices = json.loads(here(*compared, "--json").stdout)
    hours = [one["seconds"] / 3600 for one in prices["runs"]]
    paid = [one * price for one, price in zip(hours, (1, 2, 1, 2), strict=True)]
    assert prices["total"]["money"] == pytest.approx(sum(paid))
    watts = (700, 700, 70, 70)  # of their data sheets
    energy = [one * watt / 1000 for one, watt in zip(hours, watts, strict=True)]
    assert prices["total"]["energy_kwh"] == pytest.approx(sum(energy))
    ways = here("plan", "-m", "compile=false,true", "compute.flops=1e10", "--json")
    first, second = json.loads(ways.stdout)["runs"]
    assert first["run_key"] == second["run_key"]
    assert second["why_no_time"] == "the steps of compiled models are not measured"


def test_what_the_ladder_itself_varies_cannot_be_given_to_it(command: str) -> None:
    assert_one_line(run(command, "bench", "attention=linear"), "the ladder itself varies attention")
    with pytest.raises(UserError, match="bench: the ladder itself varies tune"):
        bench_ladder(["tune=true"])
    with pytest.raises(UserError, match="the ladder is of one device; leave out parallel=ddp"):
        bench_ladder(["parallel=ddp"])


def test_runs_that_differ_in_nothing_that_counts_are_trained_once(command: str) -> None:
    done = run(command, "train", "-m", "threads=1,2", "compute.steps=2", "logger=csv")
    assert done.returncode == 0, done.stderr
    assert "1 of 2 runs differ from another in what changes no result" in done.stderr


def test_a_run_trains_where_it_is(here: Here) -> None:
    done = here("train", "hardware=h100")
    assert done.returncode == 2
    assert done.stderr.startswith("vitladder: hardware=h100 is for `vitladder plan`")
    assert done.stdout == ""


def test_data_shows_what_is_there_and_builds_the_cache(here: Here) -> None:
    done = here("data", "digits")
    assert done.returncode == 0, done.stderr
    for text in ("1,438", "359", "8 x 8", "20 % of each class"):
        assert text in done.stdout
    assert list(Path("outputs/.cache").iterdir())
