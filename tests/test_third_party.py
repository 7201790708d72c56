"""A plugin of somebody else, in a wheel of its own, is a plugin like ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "vitladder-acme"
version = "1.0"
dependencies = ["vitladder"]

[project.entry-points."vitladder.attention"]
acme = "vitladder_acme.recomputed"

[project.entry-points."vitladder.position"]
acme_place = "vitladder_acme.place"

[tool.setuptools]
packages = ["vitladder_acme"]
"""

KERNEL = '''
from dataclasses import dataclass
from typing import ClassVar

import torch
from vitladder.extend.attention import AttentionKernel


@dataclass(frozen=True)
class Acme(AttentionKernel):
    """Attention that keeps no scores, with a temperature."""

    temperature: float = 1.0
    linear_memory: ClassVar[bool] = True

    def __call__(self, q, k, v, *, bias=None, causal=False, scale=None, return_lse=False):
        scale = (q.shape[-1] ** -0.5 if scale is None else scale) / self.temperature
        with torch.autocast(q.device.type, enabled=False):
            output, lse = _Attend.apply(q, k, v, bias, causal, scale)
        return (output, lse) if return_lse else output

    def saved_bytes(self, shape, element_size):
        return 4 * shape.batch * shape.heads * shape.queries


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, bias, causal, scale):
        scores = _scores(q, k, bias, causal, scale)
        lse = scores.logsumexp(-1)
        ctx.save_for_backward(q, k, v, bias, lse)
        ctx.causal, ctx.scale = causal, scale
        return (_softmax(scores, lse) @ v.to(lse.dtype)).to(q.dtype), lse

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d_output, d_lse):
        q, k, v, bias, lse = ctx.saved_tensors
        weights = _softmax(_scores(q, k, bias, ctx.causal, ctx.scale), lse)
        q_wide, k_wide, v_wide, d_output = (x.to(lse.dtype) for x in (q, k, v, d_output))
        d_weights = d_output @ v_wide.mT
        delta = (weights * d_weights).sum(-1) - d_lse
        d_scores = weights * (d_weights - delta[..., None])
        dq = d_scores @ k_wide * ctx.scale
        dk = d_scores.mT @ q_wide * ctx.scale
        dv = weights.mT @ d_output
        dbias = None if bias is None else d_scores.sum_to_size(bias.shape).to(bias.dtype)
        return dq.to(q.dtype), dk.to(k.dtype), dv.to(v.dtype), dbias, None, None


def _scores(q, k, bias, causal, scale):
    wide = torch.promote_types(q.dtype, torch.float32)
    scores = (q.to(wide) * scale) @ k.to(wide).mT
    if bias is not None:
        scores = scores + bias
    if causal:
        queries, keys = scores.shape[-2:]
        future = torch.ones(queries, keys, dtype=torch.bool).triu(keys - queries + 1)
        scores = scores.masked_fill(future.to(q.device), float("-inf"))
    return scores


def _softmax(scores, lse):
    return (scores - lse.masked_fill(lse == float("-inf"), 0.0)[..., None]).exp()
'''

ENCODING = '''
from dataclasses import dataclass

import torch
from vitladder.extend.position import PositionEncoding


@dataclass(frozen=True)
class AcmePlace(PositionEncoding):
    """A learned slope along rows, and one along columns."""

    std: float = 0.02

    def parameters(self, shape):
        return {"acme_slopes": torch.randn(2, shape.width) * self.std}

    def embed(self, tokens, grid, *, acme_slopes):
        rows, columns = grid
        places = torch.arange(rows * columns, device=tokens.device)
        places = torch.stack([places // columns / rows, places % columns / columns], dim=-1)
        prefix = tokens.shape[1] - rows * columns
        placed = tokens[:, prefix:] + places.to(tokens.dtype) @ acme_slopes.to(tokens.dtype)
        return torch.cat([tokens[:, :prefix], placed], dim=1)
'''

FAULTS = {
    "the scale is missing in the backward": (
        "dq = d_scores @ k_wide * ctx.scale",
        "dq = d_scores @ k_wide",
        "error_dq",
    ),
    "the causal mask is missing": ("if causal:", "if False:", "error_o"),
    "a masked row gives NaN": ('lse.masked_fill(lse == float("-inf"), 0.0)', "lse", "masked_rows"),
}


def install(folder: Path, kernel: str = KERNEL) -> Path:
    """Build the package's wheel, and return a new folder in which nothing but it is installed."""
    module = folder / "source" / "vitladder_acme"
    module.mkdir(parents=True)
    (module.parent / "pyproject.toml").write_text(PROJECT)
    (module / "__init__.py").write_text("")
    (module / "recomputed.py").write_text(kernel)
    (module / "place.py").write_text(ENCODING)
    build = ["build", "--wheel", "--no-isolation", "--outdir", folder, module.parent]
    subprocess.run([sys.executable, "-m", *build], check=True, capture_output=True)
    [wheel] = folder.glob("vitladder_acme-1.0-*.whl")
    site = folder / "site"
    pip = ["pip", "install", "--no-deps", "--no-index", "--target", site, wheel]
    subprocess.run([sys.executable, "-m", *pip], check=True, capture_output=True)
    return site


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The right package, installed."""
    return install(tmp_path_factory.mktemp("acme"))


def run(site: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command where the package is installed beside vitladder."""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_it_is_listed_with_its_options_and_who_brought_it(acme: Path, command: str) -> None:
    listed = run(acme, command, "plugins")
    assert listed.returncode == 0, listed.stderr
    lines = [line.strip() for line in listed.stdout.splitlines()]
    for name, summary, option in (
        (
            "acme",
            "Attention that keeps no scores, with a temperature.",
            "attention.temperature=1.0  (float)",
        ),
        (
            "acme_place",
            "A learned slope along rows, and one along columns.",
            "position.std=0.02  (float)",
        ),
    ):
        place = lines.index(f"{name:<12} {summary}  [vitladder-acme]")
        assert lines[place + 1] == option


@pytest.mark.slow
def test_it_is_selected_by_name_and_trains(acme: Path, command: str) -> None:
    size = ["model=micro-8", "compute.steps=2", "logger=csv"]
    attention = ["attention=acme", "attention.temperature=2.0"]
    position = ["position=acme_place", "position.std=0.1"]
    done = run(acme, command, "train", *size, *attention, *position)
    assert done.returncode == 0, done.stdout + done.stderr
    [file] = Path("outputs/default").glob("*/record.json")
    record = json.loads(file.read_text())
    assert record["status"] == "complete"
    assert record["config"]["attention"] == {"name": "acme", "temperature": 2.0}
    assert record["config"]["position"] == {"name": "acme_place", "std": 0.1}
    assert record["results"]["steps"] == 2


@pytest.mark.slow
def test_a_mistyped_option_is_one_line_that_names_the_right_one(acme: Path, command: str) -> None:
    done = run(acme, command, "train", "attention=acme", "attention.temprature=2.0")
    assert done.returncode == 2
    assert (
        "no option of attention=acme called 'temprature'; did you mean 'temperature'" in done.stderr
    )
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["acme", "acme_place"])
def test_the_conformance_kit_passes_it(acme: Path, command: str, name: str) -> None:
    checked = run(acme, command, "plugins", "check", name)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"={name}: every rule holds (" in checked.stdout


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--attention=acme", "--position=acme_place"])
def test_the_conformance_kit_passes_it_under_pytest(acme: Path, option: str) -> None:
    kit = ["-m", "pytest", "--pyargs", "vitladder.extend.conformance", "-q", option]
    done = run(acme, sys.executable, *kit)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_the_conformance_kit_finds_what_is_wrong(tmp_path: Path, command: str, fault: str) -> None:
    old, new, rule = FAULTS[fault]
    assert KERNEL.count(old) == 1
    wrong = install(tmp_path, KERNEL.replace(old, new))
    checked = run(wrong, command, "plugins", "check", "acme")
    assert checked.returncode == 1, checked.stdout + checked.stderr
    assert " broken (" in checked.stdout.splitlines()[0]
    assert f"\n  {rule} [" in checked.stdout
