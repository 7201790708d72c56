"""The kit's rule on models: timm's VisionTransformer with a kernel in it is still timm's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from vitladder.plugins.attention.naive import Naive
from vitladder.plugins.attention.window import Window

from vitladder.extend import registry
from vitladder.extend.attention import AttentionKernel, AttentionSpec
from vitladder.extend.conformance import Report, check_attention, examine_attention

RIGHT: list[tuple[str, dict[str, Any]]] = [
    ("naive", {}),
    ("sdpa", {}),
    ("flash", {}),
    ("window", {"radius": 1}),
    ("window", {"radius": 5}),
]


def examine(kernel: AttentionKernel) -> Report:
    return examine_attention(kernel, rules=["model"])


@pytest.mark.parametrize(("name", "options"), RIGHT)
def test_a_right_kernel_leaves_timms_model_as_it_is(name: str, options: dict[str, Any]) -> None:
    report = examine(registry.load("attention", name, **options))
    assert report.findings == []
    assert report.checks == 1


@pytest.mark.parametrize("head_dim", [16, 72, 128])
def test_whatever_the_head_dim_that_the_kernel_serves(head_dim: int) -> None:
    class One(Naive):
        def supports(self, spec: AttentionSpec) -> str | None:
            return None if spec.head_dim == head_dim else "another head_dim"

    report = examine(One())
    assert report.findings == []
    assert report.checks == 1


class _OffInModels(Naive):
    """Has its scale off by 1 % for q that is no leaf, as in a model."""

    def __call__(self, q: Tensor, *rest: Tensor, **options: Any) -> Any:  # type: ignore[override]
        """Attend."""
        off = 1.0 if q.is_leaf else 1.01
        options["scale"] = off * (options.get("scale") or q.shape[-1] ** -0.5)
        return super().__call__(q, *rest, **options)


class _OffForViews(Naive):
    """Has its scale off by 1 % for views of packed q, k and v."""

    def __call__(self, q: Tensor, *rest: Tensor, **options: Any) -> Any:  # type: ignore[override]
        """Attend."""
        off = 1.01 if q.stride(-2) == 3 * q.shape[1] * q.shape[-1] else 1.0
        options["scale"] = off * (options.get("scale") or q.shape[-1] ** -0.5)
        return super().__call__(q, *rest, **options)


class _OneWorkspace(Naive):
    """Has one workspace for all calls: a layer's backward reads what the last layer left."""

    def __call__(self, q: Tensor, *rest: Tensor, **options: Any) -> Any:  # type: ignore[override]
        """Attend."""
        return super().__call__(_ThroughWorkspace.apply(q), *rest, **options)


class _ThroughWorkspace(torch.autograd.Function):
    """Leaves q as it is; its gradient is 1 % too large after another call."""

    calls: ClassVar[int] = 0

    @staticmethod
    def forward(ctx: Any, q: Tensor) -> Tensor:
        """Count the call."""
        _ThroughWorkspace.calls += 1
        ctx.call = _ThroughWorkspace.calls
        return q.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        """Return dq."""
        return gradient if ctx.call == _ThroughWorkspace.calls else 1.01 * gradient


@pytest.mark.parametrize(
    ("kernel", "what"),
    [
        (_OffInModels(), "logits: relative error 0.003"),
        (_OffForViews(), "logits: relative error 0.003"),
        (_OneWorkspace(), "gradient of blocks.0."),
    ],
)
def test_a_fault_that_a_model_brings_out_is_seen(kernel: AttentionKernel, what: str) -> None:
    assert what in " ".join(map(str, examine(kernel).broken))


@pytest.mark.parametrize("kernel", [_OffInModels(), _OneWorkspace()])
def test_no_other_rule_sees_what_is_wrong_in_models_only(kernel: AttentionKernel) -> None:
    assert {finding.rule for finding in check_attention(kernel)} == {"model"}


class _NoScale(Naive):
    """Takes its own scale whatever it is given, which in timm's model is the right one."""

    def __call__(self, q: Tensor, *rest: Tensor, **options: Any) -> Any:  # type: ignore[override]
        """Attend."""
        return super().__call__(q, *rest, **{**options, "scale": None})


def test_the_rule_says_where_it_is_blind() -> None:
    [finding] = examine(_NoScale()).findings
    assert finding.status == "broken"
    assert "the rule is blind, or scale is ignored; must be at least 0.0005" in str(finding)


class _SaysItSeesAll(Window):
    """Leaves keys out and does not say so."""

    def sees(self, queries: int, keys: int) -> None:
        """Name no key that is left out."""


def test_keys_that_a_kernel_leaves_out_unsaid_are_missed() -> None:
    assert "logits" in str(examine(_SaysItSeesAll()).broken[0])


HALF = """
from vitladder.plugins.attention.naive import Naive

class Half(Naive):
    def supports(self, spec):
        return None if spec.dtype == "bfloat16" else "bfloat16 only"
"""


@pytest.mark.slow
def test_kernels_with_nothing_to_compare_are_not_counted() -> None:
    Path("plugins/attention").mkdir(parents=True)
    Path("plugins/attention/half.py").write_text(HALF)
    assert examine(registry.load("attention", "linear")).checks == 0
    assert examine(registry.load("attention", "half")).checks == 0
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "model"]
    command += ["--pyargs", "vitladder.extend.conformance"]
    command += [f"--attention={name}" for name in ("naive", "linear", "half")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "1 passed, 1 skipped" in done.stdout, done.stdout + done.stderr
