"""How long a step takes: the roofline of its parts, times what this machine needs for each.

A machine's costs are few numbers that `vitladder bench --machine` fits to measured steps of small
and large models; where they are not known they are assumed, and the plan says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

from vitladder.compute.part import Part, Work
from vitladder.compute.roofline import Roofline


@dataclass(frozen=True)
class StepCosts:
    """What a machine needs beside the roofline's ideal.

    `run` is seconds a run outside of its steps, `step` seconds a step outside of the model,
    `operation` seconds to start one operation; `matmul` and `moved` are times the ideal that
    products and element-wise parts take.
    """

    run: float
    step: float
    operation: float
    matmul: float
    moved: float


UPDATE = "optimizer update"

# Of a GPU that was not measured: launches of 5 us, products at 0.7 of the roof and traffic at 0.8
# of the bandwidth, as large models reach; Lightning's half a millisecond a step.
ASSUMED = StepCosts(run=10.0, step=5e-4, operation=5e-6, matmul=1 / 0.7, moved=1 / 0.8)


@dataclass(frozen=True)
class Ideal:
    """Operations of a piece of work, and its products' and its traffic's seconds at the roof."""

    operations: float
    matmul: float
    moved: float

    def seconds(self, costs: StepCosts) -> float:
        """Return how long the work takes at these costs."""
        return (
            self.operations * costs.operation
            + self.matmul * costs.matmul
            + self.moved * costs.moved
        )

    def __add__(self, other: Ideal) -> Ideal:
        """Return both pieces of work."""
        return Ideal(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __mul__(self, times: float) -> Ideal:
        """Return the work so many times."""
        return Ideal(*(times * amount for amount in astuple(self)))


def training_ideal(parts: Sequence[Part], depth: int, roofs: Mapping[int, Roofline]) -> Ideal:
    """Return the work of a forward and a backward; `roofs` is by bytes of an element."""
    return forward_ideal(parts, depth, roofs) + _ideal(
        [(part, part.backward) for part in parts if part.name != UPDATE], 2 * depth, roofs
    )


def forward_ideal(parts: Sequence[Part], depth: int, roofs: Mapping[int, Roofline]) -> Ideal:
    """Return the work of a forward."""
    return _ideal([(part, part.forward) for part in parts if part.name != UPDATE], depth, roofs)


def update_ideal(parts: Sequence[Part], roofs: Mapping[int, Roofline]) -> Ideal:
    """Return the work of the optimizer's update, one operation."""
    return _ideal([(part, part.backward) for part in parts if part.name == UPDATE], 1, roofs)


def _ideal(
    works: Sequence[tuple[Part, Work]], repeats: int, roofs: Mapping[int, Roofline]
) -> Ideal:
    matmul = moved = 0.0
    for part, work in works:
        roof = roofs[part.element_size]
        if part.kind == "matmul":
            matmul += roof.seconds(work.flops, work.bytes_moved)
        else:
            moved += work.bytes_moved / roof.bandwidth
    return Ideal(float(repeats * len(works)), matmul, moved)
