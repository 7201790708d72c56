"""Precisions: what is asked for is in effect, and loss scaling does what it is for."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import pytorch_lightning as lightning
import torch
from checkpoints import last_saved, save_instead
from together import StopAt, case, train
from torch import Tensor, nn

from vitladder.compute.formats import FORMATS
from vitladder.errors import UserError
from vitladder.runs.metrics import read_rows
from vitladder.train.precision import (
    LossScaling,
    check_effective,
    check_precision,
    effective_precision,
    matmul_precision,
    precision_plugin,
)

CPU = torch.device("cpu")
ON_A_CPU = [name for name in FORMATS if name != "tf32"]
TINY = ["model=micro-8", "model.width=8", "data.batch_size=8", "evaluations=1"]


@pytest.mark.parametrize("precision", ON_A_CPU)
def test_a_run_trains_in_the_precision_it_asked_for_and_says_so(
    precision: str, tmp_path: Path
) -> None:
    outcome = train(case(tmp_path / "run", *TINY, "compute.steps=3", f"precision={precision}"))
    form = FORMATS[precision]
    assert outcome.measured["effective_precision"] == {
        "weights": form.dtype if form.weight == form.activation else "float32",
        "products": form.dtype,
        "float32_products": "highest",
        "loss_scaling": precision == "fp16",
    }
    saved = last_saved(tmp_path / "run")["state_dict"]
    assert {value.element_size() for value in saved.values()} == {form.weight}
    rows = read_rows(tmp_path / "run")
    scaled = [(row["loss_scale"], row["skipped_steps"]) for row in rows]
    assert scaled == [("65536.0", "0") if precision == "fp16" else ("", "")] * 3


def test_lightning_would_take_bfloat16_for_float16_on_a_cpu_and_that_is_refused() -> None:
    with pytest.warns(UserWarning, match="fp16 is not supported on CPU"):
        trainer = lightning.Trainer(accelerator="cpu", precision="16-mixed", logger=False)
    found = effective_precision(trainer.precision_plugin, nn.Linear(1, 1))
    assert found["products"] == "bfloat16"
    with pytest.raises(UserError, match=r"precision=fp16 .*but in effect here is .*bfloat16"):
        check_effective("fp16", found)


def test_tf32_is_refused_where_no_gpu_has_it() -> None:
    with pytest.raises(UserError, match="precision=tf32 is of NVIDIA GPUs, and this run is on cpu"):
        check_precision("tf32", CPU)


def test_only_tf32_lets_float32_products_be_inexact_and_what_was_set_comes_back() -> None:
    torch.set_float32_matmul_precision("medium")
    try:
        with matmul_precision("fp32"):
            assert torch.get_float32_matmul_precision() == "highest"
        with matmul_precision("tf32"):
            assert torch.get_float32_matmul_precision() == "high"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def updated(plugin: LossScaling | None, gradient: float) -> tuple[float, LossScaling | None]:
    """One step of SGD on one weight in float16 products, the loss having this gradient."""
    weight = nn.Parameter(torch.zeros(1, 1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    with torch.autocast("cpu", torch.float16):
        # A gradient passes through the product in float16, as in a model.
        product = nn.functional.linear(torch.ones(1, 1), weight)
    loss: Tensor = product.float().sum() * gradient
    if plugin is None:
        loss.backward()
        optimizer.step()
    else:
        assert plugin.scaler is not None
        plugin.scaler.scale(loss).backward()
        plugin.unscale(optimizer)
        plugin.optimizer_step(optimizer, lightning.LightningModule(), lambda: None)
    return float(weight.detach()), plugin


def test_a_gradient_that_underflows_in_float16_is_lost_without_scaling_and_kept_with_it() -> None:
    tiny = 2.0**-27
    assert tiny < torch.finfo(torch.float16).smallest_normal / 2**10
    assert updated(None, tiny)[0] == 0.0
    assert updated(LossScaling("cpu"), tiny)[0] == pytest.approx(-tiny, rel=1e-3)


def test_a_step_that_overflows_is_skipped_and_halves_the_scale() -> None:
    plugin = LossScaling("cpu")
    before = plugin.scale
    weight, _ = updated(plugin, 4.0)
    assert 4.0 * before > torch.finfo(torch.float16).max
    assert weight == 0.0
    assert (plugin.scale, plugin.skipped) == (before / 2, 1)
    weight, _ = updated(plugin, 0.5)
    assert weight == pytest.approx(-0.5)
    assert (plugin.scale, plugin.skipped) == (before / 2, 1)


def test_scale_and_skipped_steps_go_into_the_checkpoint_and_come_back() -> None:
    plugin = LossScaling("cpu")
    updated(plugin, 4.0)
    resumed = LossScaling("cpu")
    resumed.load_state_dict(plugin.state_dict())
    assert (resumed.scale, resumed.skipped) == (plugin.scale, 1)


def test_skipped_steps_are_in_the_metrics_and_the_run_goes_on(tmp_path: Path) -> None:
    settings = [*TINY, "compute.steps=40", "precision=fp16"]
    train(case(tmp_path / "run", *settings, watchers=[StopAt(3)]))
    saved = last_saved(tmp_path / "run")
    saved["LossScaling"]["scaler"]["scale"] = 2.0**40
    save_instead(tmp_path / "run", saved)
    train(case(tmp_path / "run", *settings))
    rows = read_rows(tmp_path / "run")[4:]
    skipped = [int(row["skipped_steps"]) for row in rows]
    assert skipped[0] == 1
    assert skipped == sorted(skipped)
    assert [float(row["loss_scale"]) for row in rows] == [2.0 ** (40 - n) for n in skipped]
    assert 5 < skipped[-1] < 36
    assert math.isfinite(float(rows[-1]["train_loss"]))


def test_each_precision_has_a_plugin_of_its_own_format() -> None:
    for name in ON_A_CPU:
        plugin = precision_plugin(name, CPU)
        model = plugin.convert_module(nn.Linear(1, 1))
        check_effective(name, effective_precision(plugin, model))
