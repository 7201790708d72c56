"""What a step sends under every layout is what torch's collectives send, to the byte."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import pytest
import torch
import torch.distributed as dist
from collectives import devices, sent_by_torch, shared
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from vitladder.compose import compose_config
from vitladder.compute.communication import (
    all_reduce_bytes,
    data_parallel_bytes,
    fully_sharded_bytes,
    reduce_scatter_bytes,
)
from vitladder.compute.exchange import sent_in_a_step
from vitladder.compute.formats import FORMATS
from vitladder.compute.parameters import parameters
from vitladder.compute.plan import plan, position_params, position_tables, resolve
from vitladder.compute.shape import shape_of
from vitladder.compute.weights import numbers, weights
from vitladder.config import Config, DataShape
from vitladder.train.model import build_model

DATA = DataShape(train_images=1000, val_images=100, image_size=8, channels=3, classes=10)
SMALL = ("model.width=32", "model.heads=4", "model.depth=3", "data.batch_size=16")


def resolved(*overrides: str) -> Config:
    return resolve(compose_config(["compute.steps=1", *SMALL, *overrides]), DATA)


@settings(max_examples=30, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    position=st.sampled_from(["sincos2d", "learned", "rope_mixed", "relative_bias"]),
    kv_heads=st.sampled_from([1, 2, 4]),
    pool=st.sampled_from(["token", "avg"]),
    mlp=st.sampled_from(["gelu", "swiglu"]),
    norm=st.sampled_from(["layernorm", "rmsnorm"]),
    scale=st.sampled_from(["null", "1e-5"]),
    qk_norm=st.booleans(),
    registers=st.integers(0, 2),
)
def test_the_tensors_are_the_models(
    position: str,
    kv_heads: int,
    pool: str,
    mlp: str,
    norm: str,
    scale: str,
    qk_norm: bool,
    registers: int,
) -> None:
    config = resolved(
        *[f"position={position}", f"model.kv_heads={kv_heads}", f"model.pool={pool}"],
        *[f"model.mlp={mlp}", f"model.norm={norm}", f"model.layer_scale={scale}"],
        *[f"model.qk_norm={qk_norm}", f"model.registers={registers}"],
    )
    shape = shape_of(config.model)
    with torch.device("meta"):
        model = build_model(config)
    real = sorted(tuple(tensor.shape) for tensor in model.parameters())
    found = weights(shape, position_tables(config, shape))
    said = [w.sizes for w in found for _ in range(shape.depth if w.in_blocks else 1)]
    assert sorted(said) == real
    count = parameters(shape, position_params(config, shape))
    assert numbers(found, shape.depth) == count.total
    half = parameters(shape, position_params(config, shape), tensor=2).total
    if kv_heads > 1:
        assert numbers(found, shape.depth, tensor=2) == half


@pytest.mark.parametrize(
    "case",
    [
        "ddp parallel.devices=4",
        "ddp parallel.devices=4 precision=bf16_true parallel.micro_batch=2",
        "ddp parallel.devices=3 precision=bf16 parallel.compress=bf16",
        "fsdp parallel.devices=8 model.pool=token position=learned",
        "fsdp parallel.devices=3 precision=bf16_true parallel.micro_batch=2",
        "tp parallel.devices=2 precision=bf16 parallel.micro_batch=8 position=rope_mixed",
        "tp parallel.devices=4 precision=fp64 position=relative_bias attention=naive",
        "tp parallel.devices=2 parallel.remat=block precision=bf16",
        "tp parallel.devices=2 parallel.remat=selective model.qk_norm=false precision=bf16",
        "tp parallel.devices=2 parallel.remat=block model.layer_scale=1e-5 position=learned",
        "fsdp_tp parallel.devices=8 parallel.tensor=2 precision=bf16 parallel.micro_batch=2",
    ],
)
def test_a_step_sends_what_torch_sends(case: str) -> None:
    config = resolved(f"parallel={case.split()[0]}", *case.split()[1:])
    assert sent_in_a_step(config) == pytest.approx(sent_by_torch(config), abs=1)


def test_low_rank_gradients_are_sent_by_the_rule_of_torchs_hook(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = ("parallel=ddp", "parallel.devices=4", "parallel.compress=powersgd")
    # In rank 4 the head, [10, 32], has more than half as many numbers: it is sent whole.
    config = resolved(*options, "parallel.compress_rank=4", "parallel.compress_from=2")
    whole = resolved("parallel=ddp", "parallel.devices=4")
    # The hook goes on in threads of its own, where no dispatch mode sees what it sends.
    sent, reduce = [], dist.all_reduce

    def counted(tensor: torch.Tensor, *arguments: object, **options: object) -> object:
        sent.append(tensor.numel() * tensor.element_size())
        return reduce(tensor, *arguments, **options)

    monkeypatch.setattr(dist, "all_reduce", counted)
    with devices(config, 0):
        _, gradient = shared(config, 0)
        # DDP sorts tensors into other buckets after its first step; the hook starts in the third.
        for _ in range(4):
            sent.clear()
            gradient()
        del gradient, _
    assert sent_in_a_step(config) == pytest.approx(all_reduce_bytes(sum(sent), 4), abs=1)
    assert sent_in_a_step(config) < 0.5 * sent_in_a_step(whole)


@pytest.mark.parametrize("position", ["learned", "rope_mixed"])
def test_a_stage_in_the_middle_sends_what_torch_sends(position: str) -> None:
    given = ("parallel=pipeline", "parallel.devices=3", "precision=bf16", f"position={position}")
    config = resolved(*given, "data.batch_size=12")
    # The first step connects the stages, once a run.
    sent = sent_by_torch(config, rank=1, steps=2)
    assert sent_in_a_step(config) == pytest.approx(sent, abs=1)


@settings(max_examples=20)
@given(devices=st.integers(2, 16), compress=st.sampled_from(["none", "fp16"]))
def test_gradients_of_all_parameters_are_reduced(devices: int, compress: str) -> None:
    options = (f"parallel.devices={devices}", f"parallel.compress={compress}")
    config = resolved("parallel=ddp", *options)
    n_params = plan(config, DATA).n_params
    said = data_parallel_bytes(n_params, devices, element_size=4 if compress == "none" else 2)
    assert sent_in_a_step(config) == round(said)


@settings(max_examples=20)
@given(micro_batch=st.integers(1, 8), precision=st.sampled_from(["fp32", "bf16", "bf16_true"]))
def test_each_micro_batch_gathers_all_weights_and_those_of_blocks_again(
    micro_batch: int, precision: str
) -> None:
    options = (f"parallel.micro_batch={micro_batch}", f"precision={precision}")
    config = resolved("parallel=fsdp", "parallel.devices=2", *options)
    size, gathers = FORMATS[precision].weight, -(-8 // micro_batch)
    shape = shape_of(config.model)
    outside = parameters(replace(shape, depth=0), position=0).total
    # Two devices split all tensors of this model without padding.
    each = fully_sharded_bytes(plan(config, DATA).n_params, 2, size, gradient_size=0)
    once = reduce_scatter_bytes(plan(config, DATA).n_params * size, 2)
    kept = reduce_scatter_bytes(outside * size, 2)
    assert sent_in_a_step(config) == round(gathers * (each - kept) + once)


def test_one_device_sends_nothing() -> None:
    assert sent_in_a_step(resolved()) == 0


def test_a_class_token_over_eight_devices_is_sent_eight_times_its_size() -> None:
    plain = sent_in_a_step(resolved("parallel=fsdp", "parallel.devices=8"))
    given = ("parallel=fsdp", "parallel.devices=8", "model.pool=token", "model.registers=1")
    tokens = sent_in_a_step(resolved(*given)) - plain
    # Gathered once and scattered once, each 7/8 of 8 copies of two tokens of 32 numbers.
    assert tokens == 2 * 7 * prod((2, 32)) * 4
