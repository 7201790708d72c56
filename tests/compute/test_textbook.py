"""The standard analysis of BERT-base and of matrix products comes out of the closed forms."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vitladder.compute.activations import Layer, block_activations
from vitladder.compute.communication import Link, ring_all_reduce_seconds, tree_rounds
from vitladder.compute.flops import attention_flops, forward_flops
from vitladder.compute.formats import FORMATS
from vitladder.compute.gemm import Gemm, convolution, low_rank_parameters
from vitladder.compute.memory import state
from vitladder.compute.parameters import parameters
from vitladder.compute.roofline import Roofline
from vitladder.compute.shape import Shape
from vitladder.extend.position import TokenShape
from vitladder.extend.registry import load

VOCABULARY, POSITIONS, TOKEN_TYPES = 30_000, 512, 2


def bert(depth: int = 12) -> Shape:
    """The blocks of BERT-base on 512 tokens; its embeddings and pooler are no part of a ViT."""
    return Shape(
        width=768,
        depth=depth,
        heads=12,
        kv_heads=12,
        hidden=3072,
        mlp_products=2,
        norm_vectors=2,
        layer_scale=False,
        patch=1,
        channels=1,
        classes=1,
        tokens=TokenShape(width=768, grid=(16, 32), prefix=0, depth=depth, heads=12, head_dim=64),
        qk_norm=False,
        pool="avg",
        activation="gelu",
    )


def layer_flops(shape: Shape) -> tuple[int, int]:
    """Forward FLOPs of attention and of the perceptron, in all layers."""
    flops = forward_flops(shape, attention_flops(shape, load("attention", "naive")))
    return flops.qkv + flops.scores + flops.values + flops.projection, flops.mlp


def test_activations_of_a_layer_at_batch_32() -> None:
    """Formulas of a text that prints three quarters of its own first, third and fourth figures."""
    kernel, encoding = load("attention", "naive"), load("position", "none")
    layer = Layer(bert(), kernel, encoding, FORMATS["fp32"])
    kept = block_activations(layer, batch=32)
    row = 32 * 512 * 768 * 4
    scaled_queries, perceptron_input = row, row
    assert 3 * row == 150_994_944
    assert kept.attention - 2 * row - scaled_queries == 402_653_184
    assert kept.projection == 50_331_648
    assert (kept.mlp - perceptron_input) // 2 == 201_326_592
    in_place = Layer(bert(), load("attention", "sdpa"), encoding, FORMATS["fp32"])
    assert block_activations(in_place, batch=32).qkv - row == 150_994_944


def test_state_of_bert_base() -> None:
    """AdamW in float32 keeps 4 bytes of parameter, 4 of gradient and 8 of moments."""
    count = parameters(bert(), position=0)
    held = state(count, "adamw", element=4)
    assert held is not None
    assert (held.parameters, held.gradients) == (4 * count.total, 4 * count.total)
    assert held.optimizer == 8 * count.total


def test_parameters_of_a_layer() -> None:
    layer = parameters(bert(depth=1), position=0)
    final_norm = 2 * 768
    assert layer.attention == 2_359_296
    assert layer.mlp + layer.mlp_biases == 4_722_432
    assert layer.norm - final_norm == 3_072
    assert layer.attention + layer.mlp + layer.mlp_biases + layer.norm - final_norm == 7_084_800


def test_parameters_of_bert_base() -> None:
    """12 layers, three embedding tables with a norm (which our final one stands for), a pooler."""
    blocks = parameters(bert(), position=0)
    layers = blocks.attention + blocks.mlp + blocks.mlp_biases + blocks.norm
    embeddings = (VOCABULARY + POSITIONS + TOKEN_TYPES) * 768
    pooler = 768 * 768 + 768
    assert layers + embeddings + pooler == 109_044_480


def test_flops_of_a_layer_and_of_a_step() -> None:
    attention, mlp = layer_flops(bert(depth=1))
    assert attention == 3_221_225_472
    assert mlp == 4_831_838_208
    assert attention + mlp == 8_053_063_680
    forward = sum(layer_flops(bert()))
    assert forward == 96_636_764_160
    assert 3 * forward == pytest.approx(289.9e9, rel=1e-3)


def test_time_of_a_forward_pass() -> None:
    forward = sum(layer_flops(bert()))
    seconds = Roofline(peak=312e12, bandwidth=2.039e12).seconds(forward, 0, efficiency=0.7)
    assert seconds == pytest.approx(0.442e-3, rel=2e-3)


def test_a_square_product_of_2048() -> None:
    gemm = Gemm(2048, 2048, 2048)
    assert gemm.flops == pytest.approx(17.18e9, rel=1e-3)
    assert gemm.bytes_moved(4) == pytest.approx(50.3e6, rel=1e-3)
    assert gemm.intensity(4) == pytest.approx(341.3, rel=1e-3)
    roof = Roofline(peak=100e12, bandwidth=900e9)
    assert roof.compute_bound(gemm.flops, gemm.bytes_moved(4))
    assert roof.seconds(gemm.flops, gemm.bytes_moved(4)) == pytest.approx(0.172e-3, rel=2e-3)


def test_a_square_product_of_4096() -> None:
    gemm = Gemm(4096, 4096, 4096)
    assert gemm.flops == pytest.approx(137.4e9, rel=1e-3)
    roof = Roofline(peak=312e12, bandwidth=2.039e12)
    assert roof.seconds(gemm.flops, gemm.bytes_moved(2)) == pytest.approx(0.44e-3, rel=2e-3)


def test_scores_of_a_batch_and_the_memory_of_long_ones() -> None:
    assert Gemm(1024, 64, 1024, batch=16).flops == 2_147_483_648
    scores = Gemm(8192, 64, 8192)
    assert scores.m * scores.n * 4 == 256 * 2**20


def test_the_patch_embedding_is_a_convolution_as_one_product() -> None:
    shape = replace(
        bert(), patch=16, channels=3, tokens=replace(bert().tokens, grid=(14, 14), prefix=1)
    )
    gemm = convolution(1, (224, 224), 3, 768, (16, 16), stride=16)
    assert (gemm.m, gemm.k, gemm.n) == (196, 768, 768)
    assert (
        gemm.flops
        == forward_flops(shape, attention_flops(shape, load("attention", "naive"))).patch_embed
    )


@pytest.mark.parametrize("rank", [1, 8, 64])
def test_low_rank_parameters(rank: int) -> None:
    assert low_rank_parameters(1024, 4096, rank) == 5120 * rank
    assert low_rank_parameters(32_000, 512, 16) == 520_192


def test_an_all_reduce_in_a_ring_and_in_a_tree() -> None:
    size, world, bandwidth, latency = 4e9, 8, 300e9, 5e-6
    ring = ring_all_reduce_seconds(size, world, Link(bandwidth, latency))
    rounds = 2 * (world - 1)
    assert ring == pytest.approx(2 * (world - 1) / world * size / bandwidth + rounds * latency)
    assert [tree_rounds(devices) for devices in (1, 2, 3, 8, 9)] == [0, 1, 2, 3, 4]
