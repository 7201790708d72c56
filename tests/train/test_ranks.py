"""`vitladder train` on several devices: started, killed, interrupted, and on two hosts."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SETTINGS = ["model=micro-8", "model.heads=2", "model.depth=2", "logger=csv", "log_every=1"]
SETTINGS += ["parallel.device=cpu", "optim.clip=0.5", "evaluations=2", "optim.lr=2e-3"]


def start(command: str, *settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [command, "train", *SETTINGS, *settings],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def only_run(study: str) -> Path:
    [folder] = Path("outputs", study).glob("*/")
    return folder


def wait_for_rows(process: subprocess.Popen[str], study: str, rows: int) -> None:
    while process.poll() is None:
        files = list(Path("outputs", study).glob("*/metrics.csv"))
        if files and len(files[0].read_text().splitlines()) > rows:
            return
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError(process.communicate())


def ranks_of(process: subprocess.Popen[str]) -> list[int]:
    """The processes that train for this command, in the order in which they were started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if b"vitladder.train.rank" in words and parent == process.pid:
            found.append(int(folder.name))
    return sorted(found)


def ended(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def losses(study: str) -> dict[int, float]:
    with (only_run(study) / "metrics.csv").open() as file:
        return {int(row["step"]): float(row["train_loss"]) for row in csv.DictReader(file)}


def record(study: str) -> dict[str, object]:
    data: dict[str, object] = json.loads((only_run(study) / "record.json").read_text())
    return data


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")
def test_a_killed_process_ends_all_at_once_and_the_run_goes_on_from_its_checkpoint(
    command: str,
) -> None:
    steps = ["compute.steps=400", "checkpoint_seconds=0.1"]
    killed = start(command, *steps, "study=killed", "parallel=fsdp")
    wait_for_rows(killed, "killed", 30)
    first, second = ranks_of(killed)
    os.kill(second, signal.SIGKILL)
    output, errors = killed.communicate(timeout=60)
    assert killed.returncode == 1
    assert "failed: process 1 of the run was killed by SIGKILL\n" in output
    assert "The same command goes on where they stopped." in output
    assert errors == ""
    assert ended(first)
    known = record("killed")
    assert (known["status"], known["error"]) == (
        "failed",
        "process 1 of the run was killed by SIGKILL",
    )

    # It goes on, on other devices, until Ctrl-C, which comes to the whole command.
    interrupted = start(command, *steps, "study=killed", "parallel=ddp")
    wait_for_rows(interrupted, "killed", max(losses("killed")) + 20)
    assert len(ranks_of(interrupted)) == 2
    interrupted.send_signal(signal.SIGINT)
    output, errors = interrupted.communicate(timeout=60)
    assert interrupted.returncode == 130
    assert errors == "vitladder: interrupted; the same command goes on where it stopped\n"
    assert record("killed")["status"] == "interrupted"
    log = (only_run("killed") / "train.log").read_text()
    assert log.count("going on from step") == 1
    assert "SIGINT at step" in log
    assert list(losses("killed")) == list(range(1, len(losses("killed")) + 1))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")
def test_a_signal_before_the_first_step_stops_the_whole_study(command: str) -> None:
    study = start(command, "-m", "compute.steps=400", "study=early", "parallel=ddp", "seed=0,1")
    while study.poll() is None and not ranks_of(study):
        try:
            study.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
    study.send_signal(signal.SIGINT)
    output, errors = study.communicate(timeout=60)
    assert study.returncode == 130, output
    # An interpreter that is interrupted while it starts says so itself, before our last line.
    assert errors.endswith("vitladder: interrupted; the same command goes on where it stopped\n")
    known = record("early")
    assert known["status"] == "interrupted"
    # Its processes say it once they can hear; those still starting leave it to their parent.
    assert known["error"] in (
        "SIGINT before the first step",
        "SIGINT before the run could say where it stood",
    )


@pytest.mark.slow
def test_a_study_starts_the_processes_of_each_run_itself(command: str) -> None:
    study = start(command, "-m", "compute.steps=6", "study=two", "parallel=ddp", "seed=0,1")
    output, errors = study.communicate(timeout=120)
    assert (study.returncode, errors) == (0, ""), output
    records = [json.loads(file.read_text()) for file in Path("outputs/two").glob("*/record.json")]
    assert [one["status"] for one in records] == ["complete", "complete"]
    assert {one["forecast"]["communication_bytes"] for one in records} == {4 * 1922}
    assert len({one["results"]["train_loss"] for one in records}) == 2


@pytest.fixture
def two_hosts() -> Iterator[dict[str, str]]:
    """Two network namespaces joined by a cable: the interface of each."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root makes network namespaces, on Linux")
    mark = f"vl{os.getpid()}"
    hosts = {f"{mark}a": f"{mark}a", f"{mark}b": f"{mark}b"}
    try:
        for host in hosts:
            ip("netns", "add", host)
            ip("-n", host, "link", "set", "lo", "up")
        first, second = hosts
        cable = ["type", "veth", "peer", "name", second, "netns", second]
        ip("link", "add", first, "netns", first, *cable)
        for number, host in enumerate(hosts, start=1):
            ip("-n", host, "addr", "add", f"10.77.0.{number}/24", "dev", host)
            ip("-n", host, "link", "set", host, "up")
        yield hosts
    finally:
        for host in hosts:
            subprocess.run(["ip", "netns", "del", host], check=False, capture_output=True)


def ip(*words: str) -> None:
    try:
        done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no `ip` command")
    if done.returncode:
        pytest.skip(f"network namespaces cannot be made here: {done.stderr.strip()}")


@pytest.mark.slow
def test_two_hosts_train_one_run_with_the_line_of_the_readme(
    two_hosts: dict[str, str], command: str
) -> None:
    torchrun = str(Path(command).with_name("torchrun"))
    train = ["-m", "vitladder", "train", *SETTINGS, "compute.steps=12"]
    hosts = []
    for number, (host, interface) in enumerate(two_hosts.items()):
        where = ["--nnodes", "2", "--nproc-per-node", "1", "--node-rank", str(number)]
        where += ["--master-addr", "10.77.0.1"]
        layout = ["parallel=fsdp", "parallel.devices=1", "parallel.nodes=2", "study=hosts"]
        hosts.append(
            subprocess.Popen(
                ["ip", "netns", "exec", host, torchrun, *where, *train, *layout],
                env={**os.environ, "GLOO_SOCKET_IFNAME": interface},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    outputs = [host.communicate(timeout=120)[0] for host in hosts]
    assert [host.returncode for host in hosts] == [0, 0], outputs
    assert "complete" in outputs[0]
    assert "complete" not in outputs[1]
    alone = start(command, "compute.steps=12", "study=alone")
    alone.communicate(timeout=120)
    assert losses("hosts") == pytest.approx(losses("alone"), abs=2e-6)
