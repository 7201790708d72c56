"""Runs of several processes: one run through every layout, masks, uneven shares, compiled code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from checkpoints import last_saved
from pytorch_lightning import Callback, LightningModule, Trainer
from together import Case, StopAt, case, each_process, losses, train
from torch import Tensor

from vitladder.runs.metrics import read_rows
from vitladder.train import checkpoint
from vitladder.train.averaging import KEY
from vitladder.train.module import Classifier

MODEL = [
    *["model=micro-8", "model.width=16", "model.heads=4", "model.kv_heads=2", "model.depth=3"],
    *["model.mlp=swiglu", "model.mlp_ratio=3", "model.qk_norm=true", "model.drop_path=0.2"],
    *["position=rope_mixed", "optim.clip=0.5", "optim.lr=2e-3", "evaluations=2"],
    "optim.ema=0.8",
]
ALONE = ["parallel=single"]
OF_TWO = ["parallel=ddp", "parallel=fsdp", "parallel=tp", "parallel=pipeline"]
OF_FOUR = ["parallel=fsdp_tp"]


class Drawn(Callback):
    """Checks after a step whether all processes draw the same for their images and for a layer."""

    def __init__(self, same: bool) -> None:
        self.same = same

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *others: object
    ) -> None:
        assert isinstance(pl_module, Classifier)
        # What the generator gives next: by now each share of a batch has drawn its own.
        assert equal_everywhere(torch.rand(8)) == self.same
        pl_module.on_train_batch_start(None, 0)
        factors = pl_module.model.draw_kept(24)
        assert factors is not None
        assert equal_everywhere(factors)
        assert equal_everywhere(factors[:, pl_module._own].contiguous()) == self.same


def equal_everywhere(mine: Tensor) -> bool:
    found = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(found, mine)
    return all(torch.equal(mine, other) for other in found)


def stop_each(cases: Sequence[Case]) -> None:
    """Train a part of the run with each case, to a signal that one of the processes gets."""
    checkpoint.LOOK_SECONDS = 0
    for given in cases:
        outcome = train(given)
        assert outcome.status == "interrupted", outcome
        assert outcome.error is not None
        assert outcome.error.startswith("SIGTERM")


def finish(cases: Sequence[Case]) -> None:
    for given in cases:
        assert train(given).status == "complete"


def norms(folder: Path) -> list[float]:
    """The norm of every step's gradient, before it was clipped."""
    return [float(row["grad_norm"]) for row in read_rows(folder)]


def saved_weights(folder: Path) -> dict[str, Tensor]:
    return dict(last_saved(folder)["state_dict"])


def optimizer_moments(folder: Path) -> list[Tensor]:
    """Moments and averages in the order of the optimizer's groups, whatever their numbers are."""
    [state] = last_saved(folder)["optimizer_states"]
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    return [state["state"][n][key] for n in numbers for key in ("exp_avg", "exp_avg_sq", KEY)]


@pytest.mark.slow
def test_one_run_goes_through_every_layout_by_its_checkpoints(tmp_path: Path) -> None:
    settings = [*MODEL, "data.batch_size=24", "compute.steps=36"]
    whole = case(tmp_path / "whole", *settings)
    finish([whole])
    shared = tmp_path / "shared"
    layouts = [*ALONE, *OF_TWO, *OF_FOUR]
    alone, *of_two, of_four = [
        case(shared, *settings, layout, watchers=[StopAt(5 * number)])
        for number, layout in enumerate(layouts, start=1)
    ]
    stop_each([alone])
    each_process(2, stop_each, of_two)
    each_process(4, stop_each, [of_four])
    finish([case(shared, *settings)])

    assert len(losses(shared)) == 36
    assert losses(shared) == pytest.approx(losses(whole.folder), abs=2e-6)
    expected, found = saved_weights(whole.folder), saved_weights(shared)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-5, msg=name)
    pairs = zip(optimizer_moments(whole.folder), optimizer_moments(shared), strict=True)
    for mine, theirs in pairs:
        torch.testing.assert_close(theirs, mine, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_shares_of_a_batch_draw_apart_parts_of_a_layer_alike_and_uneven_shares_agree(
    tmp_path: Path,
) -> None:
    # 25 images on two devices in micro-batches of 5 at most, 359 held out in batches of 59.
    uneven = [*MODEL, "data.batch_size=25", "data.val_batch_size=59", "compute.steps=10"]
    even = [*MODEL, "data.batch_size=24", "compute.steps=3"]
    alone = case(tmp_path / "alone", *uneven)
    mixed = case(tmp_path / "mixed", *uneven, "data.augment.mixup=0.4")
    exact = [*even, "precision=fp64"]
    alone_exact = case(tmp_path / "exact", *exact)
    finish([alone, mixed, alone_exact])
    pieces = ["parallel=ddp", "parallel.micro_batch=5", "parallel.remat=block"]
    cases = {
        "ddp": case(tmp_path / "ddp", *uneven, *pieces),
        "fsdp": case(tmp_path / "fsdp", *uneven, "parallel=fsdp", "parallel.micro_batch=5"),
        "tp": case(tmp_path / "tp", *uneven, "parallel=tp", "parallel.remat=selective"),
        "mixed": case(tmp_path / "mixed-ddp", *uneven, "parallel=ddp", "data.augment.mixup=0.4"),
        "apart": case(tmp_path / "apart", *even, "parallel=ddp", watchers=[Drawn(same=False)]),
        "alike": case(tmp_path / "alike", *even, "parallel=tp", watchers=[Drawn(same=True)]),
    }
    layouts = [way for way in OF_TWO if way != "parallel=ddp"]
    in_fp64 = [case(tmp_path / f"exact-{way}", *exact, way) for way in layouts]
    each_process(2, finish, [*cases.values(), *in_fp64])
    for given in in_fp64:
        expected = losses(alone_exact.folder)
        assert losses(given.folder) == pytest.approx(expected, abs=1e-13), given.folder
        assert norms(given.folder) == pytest.approx(norms(alone_exact.folder), rel=1e-12)
    for name in ("ddp", "fsdp", "tp", "mixed"):
        reference = mixed if name == "mixed" else alone
        expected = losses(reference.folder)
        assert losses(cases[name].folder) == pytest.approx(expected, abs=2e-6), name


@pytest.mark.slow
def test_compiled_blocks_of_a_shared_model_train_alike(tmp_path: Path) -> None:
    settings = [*MODEL, "model.depth=2", "data.batch_size=24", "compute.steps=6"]
    alone = case(tmp_path / "alone", *settings)
    finish([alone])
    layouts = ("parallel=fsdp", "parallel=tp")
    cases = [case(tmp_path / way, *settings, way, "compile=true") for way in layouts]
    each_process(2, finish, cases)
    for given in cases:
        assert losses(given.folder) == pytest.approx(losses(alone.folder), abs=2e-6)
