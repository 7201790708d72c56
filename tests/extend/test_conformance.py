"""The conformance kit: its reference, its designs, its verdicts, and its three ways in."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from vitladder.plugins.attention.naive import Naive
from vitladder.plugins.attention.sdpa import Sdpa

from vitladder.cli import main
from vitladder.extend import registry
from vitladder.extend.attention import AttentionSpec
from vitladder.extend.conformance import check_attention, examine_attention
from vitladder.extend.conformance.cases import DTYPES, HEAD_DIMS, LAYOUTS, SEQS, Case
from vitladder.extend.conformance.covering import covering
from vitladder.extend.conformance.declared import read_exceptions
from vitladder.extend.conformance.design import design
from vitladder.extend.conformance.guard import guarded
from vitladder.extend.conformance.inputs import make_inputs
from vitladder.extend.conformance.probe import Probe


@pytest.mark.parametrize("kernel", [Sdpa("math"), Sdpa("flash")])
def test_backends_of_torch_keep_every_rule_but_those_they_name(kernel: Sdpa) -> None:
    report = examine_attention(kernel)
    assert report.broken == []
    assert {finding.rule for finding in report.findings} <= set(kernel.exceptions)


@pytest.mark.slow
def test_naive_keeps_every_rule_in_all_pairs() -> None:
    assert check_attention(Naive(), profile="thorough") == []


def test_the_closed_form_is_what_autograd_finds_in_float64() -> None:
    for case in (
        Case(bias="1HMN", mask="rows", scale=0.3, dtype="float64"),
        Case(queries=9, causal=True, bias="H11", dtype="float64"),
        Case(queries=21, causal=True, lse=False, dtype="float64"),
    ):
        probe = Probe(Naive())
        for name, exact in probe.exact(case).items():
            if name in probe.run(case).results:
                torch.testing.assert_close(
                    probe.run(case).results[name], exact.value, rtol=1e-12, atol=1e-13
                )


def test_a_covering_design_has_every_pair() -> None:
    factors = {"a": (1, 2, 3), "b": ("x", "y"), "c": (None, True), "d": (1, 2, 3, 4)}
    rows = covering(factors, 2)
    for one in factors:
        for two in factors:
            pairs = {(row[one], row[two]) for row in rows}
            full = len(factors[one]) * (len(factors[two]) if one != two else 1)
            assert len(pairs) == full
    assert len(rows) < math.prod(len(values) for values in factors.values()) / 2


@pytest.mark.parametrize("profile", ["fast", "thorough"])
def test_every_length_head_dim_dtype_and_layout_occurs(profile: str) -> None:
    cases = design(Naive(), "cpu", profile)["every"]  # type: ignore[arg-type]
    assert {case.queries for case in cases} | {case.keys for case in cases} >= set(SEQS)
    assert {case.head_dim for case in cases} == set(HEAD_DIMS)
    assert {case.dtype for case in cases} == set(DTYPES)
    assert {case.layout for case in cases} == set(LAYOUTS)
    assert any(case.layout == "packed" and case.queries == case.keys for case in cases)
    assert any(case.queries != case.keys for case in cases)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_hold_the_values_and_nothing_but_nan_beside_them(layout: str) -> None:
    inputs = make_inputs(Case(layout=layout, bias="BHMN"))
    for tensor in (inputs.q, inputs.k, inputs.v, inputs.bias):
        assert tensor is not None
        assert not tensor.isnan().any()
    for buffer in inputs.buffers.values():
        assert buffer.isnan().any()
    before = inputs.snapshot()
    assert inputs.touched(before) == []
    next(iter(inputs.buffers.values())).view(-1)[-1] = 1.0
    assert len(inputs.touched(before)) == 1


def test_a_write_past_an_allocation_is_seen() -> None:
    with guarded() as guard:
        made = torch.empty(3, 5)
        assert made.isnan().all()
        assert torch.zeros(2, 2).sum() == 0
        made.fill_(1.0)
        assert not guard.broken()
        made.as_strided((16,), (1,), made.storage_offset())[15] = 1.0
        assert guard.broken()
    assert torch.empty(3).untyped_storage().nbytes() == 12


@dataclass(frozen=True)
class _Named(Naive):
    """A kernel with an exception that it needs and one that it does not."""

    exceptions: ClassVar[Mapping[str, str]] = {"memory": "known", "rms": "not needed"}

    def saved_bytes(self, shape: object, element_size: int) -> int:
        """Return a wrong number."""
        return 1


def test_a_named_exception_is_reported_and_so_is_a_stale_one() -> None:
    report = examine_attention(_Named())
    assert report.broken == []
    assert {(f.rule, f.status) for f in report.findings} == {
        ("memory", "exception"),
        ("rms", "stale"),
    }


@dataclass(frozen=True)
class _Picky(Naive):
    """A kernel that serves one head_dim in one dtype, without bias and causal, or nothing."""

    head_dim: int = 64

    def supports(self, spec: AttentionSpec) -> str | None:
        """Refuse almost everything."""
        if spec.head_dim != self.head_dim or spec.dtype != "bfloat16" or spec.bias or spec.causal:
            return "too much"
        return super().supports(spec)


def test_what_a_kernel_refuses_is_not_tested() -> None:
    report = examine_attention(_Picky())
    assert report.findings == []
    assert report.checks > 50
    [finding] = check_attention(_Picky(head_dim=63))
    assert (finding.status, finding.reason) == ("skipped", "too much")


def test_a_kernel_that_raises_has_broken_a_rule() -> None:
    class Broken(Naive):
        def __call__(self, *args: object, **options: object) -> torch.Tensor:
            raise ZeroDivisionError("by the author")

    [finding] = check_attention(Broken(), first=True)
    assert "raised ZeroDivisionError: by the author" in str(finding)


@dataclass(frozen=True)
class _Zeros(Naive):
    """Returns zeros, and says that it is near to attention."""

    exact: ClassVar[bool] = False
    says: bool = True

    def __call__(self, q: torch.Tensor, *args: object, **options: object) -> object:  # type: ignore[override]
        """Return zeros that depend on all inputs."""
        output, lse = super().__call__(q, *args, **{**options, "return_lse": True})  # type: ignore[arg-type]
        return (0 * output, 0 * lse) if options["return_lse"] else 0 * output

    def refined(self) -> _Zeros | None:
        """Return the same."""
        return self if self.says else None


@pytest.mark.parametrize(
    ("says", "words"), [(True, "the error's ratio 1;"), (False, "must say how it converges")]
)
def test_an_approximate_kernel_must_converge(says: bool, words: str) -> None:
    found = check_attention(_Zeros(says=says), rules=["converges"])
    assert words in str(found[0])
    assert found[0].status == "broken"


def test_sdpa_says_which_backend_ran() -> None:
    q = torch.randn(1, 2, 8, 16)
    bias = torch.zeros(8, 8, requires_grad=True)
    assert Sdpa().ran_backend(q, q, q) == "flash"
    assert Sdpa().ran_backend(q, q, q, bias=bias) == "math"
    assert Sdpa("math").ran_backend(q, q, q) == "math"
    spec = AttentionSpec("cpu", "float32", 64)
    assert "needs CUDA" in str(Sdpa("efficient").supports(spec))
    assert "gradient of the bias" in str(
        Sdpa("flash").supports(replace(spec, bias=True, bias_grad=True))
    )


def test_exceptions_are_read_without_importing() -> None:
    assert "rms" in read_exceptions(registry.find("attention", "sdpa").file)
    assert read_exceptions(registry.find("attention", "naive").file) == {}


def test_the_command_lists_exceptions_and_checks_a_plugin(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["plugins"]) == 0
    assert "known exception to rms: torch's CPU kernel" in capsys.readouterr().out
    assert main(["plugins", "check", "sdpa"]) == 0
    assert "every rule holds but named exceptions" in capsys.readouterr().out
    assert main(["plugins", "check", "nave"]) == 2
    assert "did you mean 'naive'" in capsys.readouterr().err


def test_the_command_says_that_nothing_was_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "check", "flex"]) == 3
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("nothing was checked: FlexAttention has no backward on cpu")


WRONG = '''
from dataclasses import dataclass
from vitladder.plugins.attention.naive import Naive

@dataclass(frozen=True)
class Wrong(Naive):
    """Forgets the scale."""
    def __call__(self, q, k, v, *, bias=None, causal=False, scale=None, return_lse=False):
        return super().__call__(q, k, v, bias=bias, causal=causal, scale=1.0, return_lse=return_lse)
'''


def test_a_wrong_plugin_of_the_working_folder_fails_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plugins" / "attention").mkdir(parents=True)
    (tmp_path / "plugins" / "attention" / "forgets.py").write_text(WRONG)
    assert main(["plugins", "check", "forgets"]) == 1
    assert "error_o" in capsys.readouterr().out


@pytest.mark.slow
def test_the_kit_is_a_pytest_plugin() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["--pyargs", "vitladder.extend.conformance", "--attention=sdpa", "--position=none"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 xfailed" in done.stdout
