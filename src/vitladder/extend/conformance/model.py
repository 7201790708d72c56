"""The rule on models: timm's VisionTransformer with the kernel in it is still timm's.

A model calls a kernel as no other rule does: on views of one projection that are no leaves, once
a layer before the first backward, and with what the layers above make of its result.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from vitladder.extend.attention import AttentionKernel
from vitladder.extend.conformance.cases import GRIDS, Case
from vitladder.extend.conformance.finding import Finding
from vitladder.extend.conformance.probe import Probe, watched
from vitladder.extend.conformance.rule import Rule, exact_only

LIMIT = 1e-5
"""Largest difference of the logits, or of a parameter's gradient, over the norm of timm's own."""
_OFF = 1.01
_SEEN = 50 * LIMIT
"""What a scale off by 1 % must change at least; less, and the limit would say nothing."""


def model(probe: Probe, case: Case) -> Iterator[Finding]:
    """timm's model with the kernel equals timm's own: logits and gradients, to 1e-5 relative."""
    kernel = probe.kernel_of(case)
    exact = _step(_build(case, _timms(kernel, case, probe.device)), case, probe.device)
    errors = _errors(probe, case, exact)
    gradient = max((name for name in errors if name != "logits"), key=errors.__getitem__)
    for name in ("logits", gradient):
        yield from probe.within("model", case, errors[name], LIMIT, f"{name}: relative error")
    # The negative control: what this rule cannot see in a wrong kernel, it says of no kernel.
    control = _errors(probe, case, exact, off=_OFF)
    least = min(error for name, error in control.items() if name == "logits" or "qkv" in name)
    if not least >= _SEEN:
        words = f"a scale off by 1 % gives {least:.3g}: the rule is blind, or scale is ignored"
        yield Finding("model", str(case), words, f"at least {_SEEN:g}")


def _errors(
    probe: Probe, case: Case, exact: dict[str, Tensor], off: float = 1.0
) -> dict[str, float]:
    """Return the relative errors of the model with the kernel, whose scale may be off."""
    with_kernel = _build(case, _kernels(probe.kernel_of(case), off))
    with watched():
        have = _step(with_kernel, case, probe.device)
    return {name: _error(have[name], value) for name, value in exact.items()}


def _error(have: Tensor, exact: Tensor) -> float:
    difference = (have - exact).norm()
    # A parameter that nothing reads has no gradient in either model.
    error = 0.0 if difference == 0 else float(difference / exact.norm())
    return math.inf if math.isnan(error) else error


def _step(made: nn.Module, case: Case, device: str) -> dict[str, Tensor]:
    """Return the logits of one batch, and by name the gradients of a loss that reads them all."""
    draw = torch.Generator().manual_seed(1)
    rows, columns, _ = GRIDS[case.keys]
    images = torch.randn(case.batch, 3, 2 * rows, 2 * columns, generator=draw).to(device)
    names, parameters = zip(*made.to(device).named_parameters(), strict=True)
    # On a GPU cuDNN would round the patches' convolution to TF32.
    with torch.backends.cudnn.flags(allow_tf32=False):
        logits = made(images)
        loss = (logits * torch.randn(logits.shape, generator=draw).to(device)).sum()
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    named = {f"gradient of {name}": x for name, x in zip(names, gradients, strict=True)}
    return {"logits": logits.detach(), **named}


def _build(case: Case, attention: type[nn.Module]) -> nn.Module:
    """Return a small model of timm's with this attention; equal cases have equal weights."""
    from timm.models.vision_transformer import VisionTransformer

    rows, columns, prefix = GRIDS[case.keys]
    width = case.heads * case.head_dim
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        made = VisionTransformer(
            img_size=(2 * rows, 2 * columns),
            patch_size=2,
            num_classes=10,
            embed_dim=width,
            depth=2,
            num_heads=case.heads,
            mlp_ratio=2.0,
            class_token=prefix == 1,
            # The class token would read one query of the last layer, the mean reads every patch's.
            global_pool="avg",
            # With timm's usual 1e-5 the residual stream would drown whatever attention does.
            init_values=1.0,
            attn_layer=attention,
        )
        # Fresh weights are so small that attention is all but uniform: any kernel would pass.
        for name, parameter in made.named_parameters():
            if not name.endswith("gamma"):
                parameter.add_(torch.randn_like(parameter), alpha=1.6 * width**-0.5)
    return cast(nn.Module, made)


def _kernels(kernel: AttentionKernel, off: float) -> type[nn.Module]:
    """Return timm's attention, its scores computed by the kernel; a class, as timm asks."""
    from timm.layers import Attention

    def forward(self: Any, x: Tensor, **options: Any) -> Tensor:
        del options
        packed = self.qkv(x).unflatten(-1, (3, self.num_heads, self.head_dim))
        q, k, v = packed.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = cast(Tensor, kernel(q, k, v, scale=off * self.scale))
        return cast(Tensor, self.proj(mixed.transpose(1, 2).flatten(2)))

    return type("KernelAttention", (Attention,), {"forward": forward})


def _timms(kernel: AttentionKernel, case: Case, device: str) -> type[nn.Module]:
    """Return timm's own attention, with the keys masked that the kernel does not see."""
    from timm.layers import Attention

    seen = kernel.sees(case.queries, case.keys)
    if seen is None:
        return cast(type[nn.Module], Attention)
    mask = torch.zeros(seen.shape).masked_fill(~seen.cpu(), -math.inf).to(device)

    def forward(self: Any, x: Tensor, **options: Any) -> Tensor:
        del options
        return cast(Tensor, Attention.forward(self, x, attn_mask=mask))

    return type("MaskedAttention", (Attention,), {"forward": forward})


RULES = [Rule("model", model, "model", calls=4, applies=exact_only)]
