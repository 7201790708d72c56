"""What each position encoding is, and that it equals timm's where timm has the same thing."""

from __future__ import annotations

import math

import pytest
import torch
from timm.layers import RelPosBias, RotaryEmbeddingCat, RotaryEmbeddingMixed, apply_rot_embed_cat
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor

from vitladder.extend import registry
from vitladder.extend.position import TokenShape

SHAPE = TokenShape(width=32, grid=(4, 4), prefix=1, depth=2, heads=2, head_dim=16)
CPU = torch.device("cpu")


def tokens(shape: TokenShape) -> Tensor:
    return torch.randn(2, shape.seq, shape.width)


def queries(seq: int) -> Tensor:
    return torch.randn(2, SHAPE.heads, seq, SHAPE.head_dim)


def test_rope_axial_is_timms() -> None:
    rope = registry.load("position", "rope_axial")
    timms = RotaryEmbeddingCat(16, temperature=100.0, in_pixels=False, feat_shape=[3, 5])
    q, k = queries(1 + 15), queries(1 + 15)
    turned_q, turned_k = rope.rotate(q, k, (3, 5), 0)
    for plain, turned in ((q, turned_q), (k, turned_k)):
        assert torch.equal(turned[:, :, :1], plain[:, :, :1])
        expected = apply_rot_embed_cat(plain[:, :, 1:], timms.get_embed())
        torch.testing.assert_close(turned[:, :, 1:], expected, rtol=1e-6, atol=1e-6)


def test_rope_axial_stretched_to_a_reference_is_timms() -> None:
    rope = registry.load("position", "rope_axial", reference=14)
    timms = RotaryEmbeddingCat(
        16, temperature=100.0, in_pixels=False, feat_shape=[3, 5], ref_feat_shape=[14, 14]
    )
    q = queries(15)
    turned, _ = rope.rotate(q, q, (3, 5), 0)
    expected = apply_rot_embed_cat(q, timms.get_embed())
    torch.testing.assert_close(turned, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", [0, 1])
def test_rope_mixed_is_timms(layer: int) -> None:
    rope = registry.load("position", "rope_mixed")
    timms = RotaryEmbeddingMixed(32, depth=2, num_heads=2, feat_shape=[3, 5])
    frequencies = timms.freqs.detach()
    assert rope.parameters(SHAPE)["rope_frequencies"].shape == frequencies.shape
    q = queries(1 + 15)
    turned, _ = rope.rotate(q, q, (3, 5), layer, rope_frequencies=frequencies)
    expected = apply_rot_embed_cat(q[:, :, 1:], timms.get_embed()[layer])
    torch.testing.assert_close(turned[:, :, 1:], expected, rtol=1e-5, atol=1e-5)


def test_rope_mixed_starts_with_timms_lengths_in_directions_at_right_angles() -> None:
    x, y = registry.load("position", "rope_mixed").parameters(SHAPE)["rope_frequencies"]
    lengths = torch.hypot(x, y)
    expected = 10.0 ** -(torch.arange(0, 16, 4) / 16)
    torch.testing.assert_close(lengths, expected.repeat(2).expand_as(lengths))
    first, second = x[..., :4] * x[..., 4:], y[..., :4] * y[..., 4:]
    torch.testing.assert_close(first, -second, rtol=1e-4, atol=1e-6)


def test_the_angles_of_rope_are_not_rounded_to_bfloat16() -> None:
    rope = registry.load("position", "rope_axial")
    q = queries(196)
    exact, _ = rope.rotate(q.double(), q.double(), (14, 14), 0)
    half, _ = rope.rotate(q.bfloat16(), q.bfloat16(), (14, 14), 0)
    assert half.dtype == torch.bfloat16
    # One rounding of the input and one of the output, of numbers up to about 4.
    assert float((half.double() - exact).abs().max()) < 4 * 2**-7


def test_alibi_penalises_distance_by_a_slope_for_each_head() -> None:
    bias = registry.load("position", "alibi2d", steepness=8.0).bias((3, 4), 2, CPU)
    assert bias is not None
    assert bias.shape == (1, 2, 12, 12)
    patch = {(row, column): 4 * row + column for row in range(3) for column in range(4)}
    for head, slope in ((0, 2.0**-4), (1, 2.0**-8)):
        value = float(bias[0, head, patch[0, 0], patch[2, 3]])
        assert value == pytest.approx(-slope * math.sqrt(13))
    assert float(bias.diagonal(dim1=-2, dim2=-1).abs().max()) == 0


def test_relative_bias_is_timms() -> None:
    timms = RelPosBias((3, 5), num_heads=2)
    table = timms.relative_position_bias_table.detach().T.reshape(2, 5, 9)
    encoding = registry.load("position", "relative_bias")
    bias = encoding.bias((3, 5), 2, CPU, relative_bias=table)
    torch.testing.assert_close(bias, timms.get_bias().detach())


def test_the_bias_of_an_offset_is_learned_from_all_pairs_that_have_it() -> None:
    encoding = registry.load("position", "relative_bias")
    table = encoding.parameters(SHAPE)["relative_bias"].requires_grad_()
    bias = encoding.bias((4, 4), 2, CPU, relative_bias=table)
    assert bias is not None
    [gradient] = torch.autograd.grad(bias.sum(), table)
    # 16 pairs have the offset (0, 0), one pair (3, 3).
    assert float(gradient[0, 3, 3]) == 16
    assert float(gradient[0, 6, 6]) == 1


def test_learned_places_on_another_grid_are_resized_as_timm_does() -> None:
    encoding = registry.load("position", "learned")
    table = encoding.parameters(SHAPE)["pos_embed"]
    other = TokenShape(width=32, grid=(6, 3), prefix=1)
    embedded = encoding.embed(torch.zeros(1, other.seq, 32), (6, 3), pos_embed=table)
    expected = resample_abs_pos_embed(table, [6, 3], num_prefix_tokens=1)
    torch.testing.assert_close(embedded, expected)


def test_sincos_moves_with_the_reference() -> None:
    plain = registry.load("position", "sincos2d")
    stretched = registry.load("position", "sincos2d", reference=8)
    # A grid of 4 stretched to 8 has the places 0, 2, 4, 6 of a grid of 8.
    small = stretched.embed(torch.zeros(1, 16, 32), (4, 4)).unflatten(1, (4, 4))
    large = plain.embed(torch.zeros(1, 64, 32), (8, 8)).unflatten(1, (8, 8))
    torch.testing.assert_close(small, large[:, ::2, ::2])


def test_no_position_changes_nothing() -> None:
    encoding = registry.load("position", "none")
    x, q = tokens(SHAPE), queries(17)
    assert encoding.embed(x, (4, 4)) is x
    assert encoding.rotate(q, q, (4, 4), 0) == (q, q)
    assert encoding.bias((4, 4), 2, CPU) is None


@pytest.mark.parametrize("name", ["rope_axial", "rope_mixed"])
def test_rope_says_which_heads_it_cannot_turn(name: str) -> None:
    odd = TokenShape(width=12, grid=(4, 4), prefix=0, heads=2, head_dim=6)
    reason = registry.load("position", name).supports(odd)
    assert reason == "head_dim must be a multiple of 4, not 6"
