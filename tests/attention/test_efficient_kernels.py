"""The window, the random features and FlexAttention: what they compute, and what it costs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vitladder.compose import compose_config, compose_jobs
from vitladder.compute.plan import load_kernel, resolve
from vitladder.compute.shape import shape_of
from vitladder.config import DataShape
from vitladder.extend import registry
from vitladder.extend.attention import AttentionShape, AttentionSpec


def inputs(seq: int, head_dim: int = 16) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(2, 3, seq, head_dim, dtype=torch.float64) for _ in range(3)]


@pytest.mark.parametrize(("rows", "columns"), [(5, 7), (1, 9), (3, 3)])
@pytest.mark.parametrize("prefix", [0, 2])
@pytest.mark.parametrize("radius", [0, 1, 2, 20])
def test_a_window_is_attention_with_a_mask_of_distance(
    rows: int, columns: int, prefix: int, radius: int
) -> None:
    seq = prefix + rows * columns
    window = registry.load("attention", "window", radius=radius).placed((rows, columns), prefix)
    places = [(row, column) for row in range(rows) for column in range(columns)]
    mask = torch.zeros(seq, seq, dtype=torch.float64)
    for i, (row, column) in enumerate(places):
        for j, (other_row, other_column) in enumerate(places):
            if max(abs(row - other_row), abs(column - other_column)) > radius:
                mask[prefix + i, prefix + j] = -torch.inf
    q, k, v = inputs(seq)
    expected = registry.load("attention", "naive")(q, k, v, bias=mask)
    torch.testing.assert_close(window(q, k, v), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["naive", "window", "linear"])
@pytest.mark.parametrize(("grid", "prefix"), [((5, 7), 1), ((2, 3), 0), ((9, 9), 4)])
def test_the_stated_flops_are_those_that_torch_counts(
    name: str, grid: tuple[int, int], prefix: int
) -> None:
    seq = prefix + grid[0] * grid[1]
    kernel = registry.load("attention", name).placed(grid, prefix)
    shape = AttentionShape(2, 3, seq, seq, 16, grid, prefix)
    with FlopCounterMode(display=False) as counter:
        kernel(*inputs(seq))
    assert counter.get_total_flops() == kernel.flops(shape).total


def test_a_window_that_was_not_placed_says_so() -> None:
    window = registry.load("attention", "window")
    with pytest.raises(ValueError, match=r"placed on 0 \+ 0 x 0 tokens, but was given 9 queries"):
        window(*inputs(9))


def test_random_features_come_closer_the_more_there_are() -> None:
    q, k, v = (0.2 * x for x in inputs(40))
    exact = registry.load("attention", "naive")(q, k, v)

    def error(features: int) -> float:
        """The relative error of the mean square over draws of the features."""
        kernels = [
            registry.load("attention", "linear", features=features, seed=seed) for seed in range(8)
        ]
        squares = [(kernel(q, k, v) - exact).square().mean() for kernel in kernels]
        return float(torch.stack(squares).mean().sqrt() / exact.square().mean().sqrt())

    few, more, most = error(16), error(256), error(4096)
    # Sixteen times the features are a quarter of the error.
    assert few / more == pytest.approx(4, rel=0.4)
    assert more / most == pytest.approx(4, rel=0.4)


def test_random_features_estimate_the_log_sum_exp() -> None:
    q, k, v = (0.2 * x for x in inputs(40))
    _, exact = registry.load("attention", "naive")(q, k, v, return_lse=True)
    _, lse = registry.load("attention", "linear", features=4096)(q, k, v, return_lse=True)
    torch.testing.assert_close(lse, exact, rtol=0, atol=0.1)


def test_random_features_never_divide_by_zero() -> None:
    q, k, v = (40 * x for x in inputs(9))
    assert bool(registry.load("attention", "linear")(q.float(), k.float(), v).isfinite().all())


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    "size", [(2, 3, 9, 9), (1, 1, 9, 9), (2, 1, 1, 9), (1, 3, 9, 1), (9, 9), (9,), (3, 1, 1), ()]
)
def test_flex_adds_a_bias_of_every_shape(causal: bool, size: tuple[int, ...]) -> None:
    q, k, v = inputs(9)
    bias = torch.randn(size, dtype=torch.float64)
    flex = registry.load("attention", "flex")(q, k, v, bias=bias, causal=causal)
    naive = registry.load("attention", "naive")(q, k, v, bias=bias, causal=causal)
    torch.testing.assert_close(flex, naive, rtol=1e-6, atol=1e-6)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")
def test_flex_bounds_the_scores_softly() -> None:
    q, k, v = inputs(9)
    capped = 2 * torch.tanh((q @ k.mT) / 4 / 2)
    expected = capped.softmax(dim=-1) @ v
    output = registry.load("attention", "flex", softcap=2.0)(q, k, v)
    torch.testing.assert_close(output, expected, rtol=1e-6, atol=1e-6)


def test_what_a_kernel_cannot_do_is_said() -> None:
    reasons = {
        ("flex", AttentionSpec("cpu", "float32", 64)): "no backward on cpu",
        ("window", AttentionSpec("cpu", "float32", 64, causal=True)): "no before and after",
        ("linear", AttentionSpec("cpu", "float32", 64, bias=True)): "a bias on the scores",
        ("linear", AttentionSpec("cpu", "float32", 64, causal=True)): "causal",
        ("naive", AttentionSpec("cpu", "float32", 64, dropout=True)): "dropout",
    }
    for (name, spec), reason in reasons.items():
        assert reason in (registry.load("attention", name).supports(spec) or "")


def test_the_window_of_the_study_of_kernels_hides_something() -> None:
    [first, *_] = compose_jobs(["+sweep=kernels", "attention=window"])
    config = resolve(compose_config(first), DataShape(1000, 100, 8, 1, 10))
    tokens = shape_of(config.model).tokens
    seen = load_kernel(config).placed(tokens.grid, tokens.prefix).sees(tokens.seq, tokens.seq)
    assert seen is not None
    assert 0.2 < float(seen.double().mean()) < 0.8
