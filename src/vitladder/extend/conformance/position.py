"""Examines a position encoding: all rules, on several grids, with and without prefix tokens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vitladder.extend.conformance.finding import Finding, Report, excuse, stale
from vitladder.extend.conformance.threads import one_thread
from vitladder.extend.position import Grid, PositionEncoding, TokenShape

TRAINED = (14, 14)
GRIDS: tuple[Grid, ...] = (TRAINED, (7, 7), (1, 1), (9, 20), (16, 3), (24, 24))
PREFIXES = (1, 0, 5)
HEADS, HEAD_DIM, DEPTH = 3, 16, 2


@dataclass
class Setting:
    """An encoding with its parameters, on one grid; every call makes its own tensors."""

    encoding: PositionEncoding
    grid: Grid
    prefix: int
    device: str = "cpu"
    worst: dict[tuple[str, str], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the parameters for the grid that was trained on; equal settings have equal ones."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            made = self.encoding.parameters(shape_of(TRAINED, self.prefix))
        self.parameters = {name: value.to(self.device) for name, value in made.items()}

    @property
    def patches(self) -> int:
        """Rows times columns."""
        return self.grid[0] * self.grid[1]

    def embed(self, tokens: Tensor) -> Tensor:
        """Call the hook."""
        return self.encoding.embed(tokens, self.grid, **self.parameters)

    def rotate(self, q: Tensor, k: Tensor, layer: int = 0) -> tuple[Tensor, Tensor]:
        """Call the hook."""
        return self.encoding.rotate(q, k, self.grid, layer, **self.parameters)

    def bias(self) -> Tensor | None:
        """Call the hook."""
        device = torch.device(self.device)
        return self.encoding.bias(self.grid, HEADS, device, **self.parameters)

    def draw(self, *shape: int, dtype: torch.dtype = torch.float32, seed: int = 1) -> Tensor:
        """Draw normal numbers."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(shape, generator=generator).to(self.device, dtype)

    def tokens(self) -> Tensor:
        """Draw tokens [2, seq, width]."""
        return self.draw(2, self.prefix + self.patches, HEADS * HEAD_DIM)

    def heads(self, dtype: torch.dtype = torch.float32, seed: int = 1) -> Tensor:
        """Draw a q or k [2, heads, seq, head_dim]."""
        return self.draw(2, HEADS, self.prefix + self.patches, HEAD_DIM, dtype=dtype, seed=seed)

    def __str__(self) -> str:
        """Return the setting in one line."""
        return f"{self.grid[0]}x{self.grid[1]} patches, {self.prefix} prefix tokens"

    def within(self, rule: str, measured: float, limit: float, what: str) -> Iterator[Finding]:
        """Note what was measured; a finding if it is above the limit, or no number."""
        self.worst[rule, what] = max(self.worst.get((rule, what), 0.0), measured)
        if not measured <= limit:
            yield Finding(rule, str(self), f"{what} {measured:.3g}", f"at most {limit:g}")


Judge = Callable[[Setting], Iterator[Finding]]


def rules() -> dict[str, Judge]:
    """Return the rules by name; a later rule may rely on what an earlier one holds."""
    from vitladder.extend.conformance import position_rules

    return {judge.__name__: judge for judge in position_rules.RULES}


def shape_of(grid: Grid, prefix: int) -> TokenShape:
    """Return the tokens that the rules use."""
    return TokenShape(HEADS * HEAD_DIM, grid, prefix, DEPTH, HEADS, HEAD_DIM)


def check_position(
    encoding: PositionEncoding, *, device: str = "cpu", only: Sequence[str] | None = None
) -> list[Finding]:
    """Return what is found about an encoding: nothing, if it is right and names no exceptions."""
    return examine_position(encoding, device=device, only=only).findings


@one_thread()
def examine_position(
    encoding: PositionEncoding, *, device: str = "cpu", only: Sequence[str] | None = None
) -> Report:
    """Return the findings about an encoding, with the worst value of every measured rule."""
    started = time.perf_counter()
    report = Report(type(encoding).__name__)
    refusal = encoding.supports(shape_of(TRAINED, 1))
    if refusal:
        report.findings = [Finding("supports", "", "", "", "skipped", refusal)]
        return report
    for prefix in PREFIXES:
        for grid in GRIDS:
            if encoding.supports(shape_of(grid, prefix)) is None:
                _examine(Setting(encoding, grid, prefix, device, report.worst), only, report)
    report.findings = excuse(report.findings, encoding.exceptions)
    if only is None:
        report.findings += stale(report.findings, encoding.exceptions)
    report.seconds = time.perf_counter() - started
    return report


def _examine(setting: Setting, only: Sequence[str] | None, report: Report) -> None:
    for name, judge in rules().items():
        if only is None or name in only:
            report.checks += 1
            report.findings += judged(name, judge, setting)


def judged(name: str, judge: Judge, setting: Setting) -> Iterator[Finding]:
    """Yield what a rule finds; an encoding that raises has broken it."""
    try:
        yield from judge(setting)
    except Exception as error:  # an encoding may raise anything at all
        words = f"raised {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        yield Finding(name, str(setting), words, "a result")
