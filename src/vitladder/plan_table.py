"""What `vitladder plan` prints: a table of runs and their totals, or one JSON object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.table import Table

from vitladder.compute.forecast import Forecast
from vitladder.compute.machine import Machine
from vitladder.compute.plan import Plan
from vitladder.compute.ways_out import WayOut
from vitladder.hand_over import Planned

GIB = 2**30
_MOST_WAYS = 3


@dataclass(frozen=True)
class PlannedCost:
    """One run of a plan: what it is, what it does, what it needs, and what would make it fit."""

    run: Planned
    plan: Plan
    forecast: Forecast
    ways_out: Sequence[WayOut]


@dataclass(frozen=True)
class Totals:
    """Sums over the runs of a plan, trained one after the other; None where one is not known."""

    flops: float
    seconds: float | None
    energy_kwh: float | None
    money: float | None


def totals(costs: Sequence[PlannedCost], machine: Machine, price: float | None) -> Totals:
    """Return the sums; energy is the device's board power for all of the time."""
    parts = [cost.forecast.seconds for cost in costs]
    known = [part for part in parts if part is not None]
    seconds = sum(known) if len(known) == len(parts) else None
    hours, watts = None if seconds is None else seconds / 3600, machine.watts
    return Totals(
        flops=sum(cost.plan.flops for cost in costs),
        seconds=seconds,
        energy_kwh=None if hours is None or watts is None else hours * watts / 1000,
        money=None if hours is None or price is None else hours * price,
    )


def plan_data(costs: Sequence[PlannedCost], total: Totals) -> dict[str, Any]:
    """Return the plan as plain data: every run with its run_key, and the totals."""
    runs = [
        {
            "run_key": cost.run.place.run_key,
            **asdict(cost.plan),
            **asdict(cost.forecast),
            "fits": cost.forecast.fits,
            "ways_out": [list(way.overrides) for way in cost.ways_out],
        }
        for cost in costs
    ]
    return {"runs": runs, "total": asdict(total)}


def plan_table(costs: Sequence[PlannedCost], total: Totals, machine: Machine) -> Table:
    """Return the runs as a table."""
    table = Table(
        title=f"{len(costs)} run{'s' * (len(costs) > 1)} on {machine.name}: {_totals(total)}",
        caption=_notes(machine, total),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    names = "run shape N FLOPs/image C steps D epochs tokens micro-batch memory time MFU"
    for name in names.split():
        table.add_column(name, justify="left" if name == "run" else "right", no_wrap=True)
    for cost in costs:
        table.add_row(*_cells(cost))
    return table


def shortages(costs: Sequence[PlannedCost]) -> list[str]:
    """Return a line for every run that does not fit: what it needs, what there is, ways out."""
    return [_shortage(cost) for cost in costs if not cost.forecast.fits]


def _shortage(cost: PlannedCost) -> str:
    needed, there = cost.forecast.peak_memory_bytes or 0, cost.forecast.memory_bytes or 0
    said = (
        f"{cost.run.place.run_key} does not fit: it needs {needed / GIB:.2f} GiB of "
        f"{there / GIB:.2f} GiB on {cost.forecast.machine}"
    )
    if not cost.ways_out:
        return f"{said}; no micro-batch, recomputation or kernel here makes it fit"
    ways = [
        f"{' '.join(way.overrides)} ({(way.forecast.peak_memory_bytes or 0) / GIB:.2f} GiB"
        f"{_slower(cost.forecast, way.forecast)})"
        for way in cost.ways_out[:_MOST_WAYS]
    ]
    return f"{said}; these do: {', or '.join(ways)}"


def _slower(asked: Forecast, way: Forecast) -> str:
    if asked.seconds is None or way.seconds is None:
        return ""
    return f", {way.seconds / asked.seconds:.2f}x the time"


def _cells(cost: PlannedCost) -> list[str]:
    model, plan, needed = cost.run.config.model, cost.plan, cost.forecast
    memory = "?" if needed.peak_memory_bytes is None else _bytes(needed.peak_memory_bytes)
    return [
        cost.run.place.run_key,
        f"{model.width}x{model.depth}",
        f"{plan.n_params:,}",
        f"{plan.flops_per_image:.3g}",
        f"{plan.flops:.3g}",
        f"{plan.steps:,}",
        f"{plan.images:,}",
        f"{plan.epochs:.1f}",
        f"{plan.tokens:.2g}",
        f"{needed.micro_batch}",
        memory if needed.fits else f"{memory} !",
        "?" if needed.seconds is None else _time(needed.seconds),
        "?" if needed.mfu is None else f"{100 * needed.mfu:.1f}%",
    ]


def _totals(total: Totals) -> str:
    said = [f"{total.flops:.3g} training FLOPs (3 x forward matmul)"]
    if total.seconds is not None:
        said.append(f"{_time(total.seconds)} one after the other")
    if total.energy_kwh is not None:
        said.append(f"{total.energy_kwh:.3g} kWh")
    if total.money is not None:
        said.append(f"{total.money:,.2f} at the given price")
    return ", ".join(said)


def _notes(machine: Machine, total: Totals) -> str:
    if machine.assumed:
        return (
            "time and MFU are assumed from data sheets: products at 0.7 of the roof, traffic at "
            "0.8 of the bandwidth; nothing was measured on this device"
        )
    if total.seconds is None:
        return "time is not known: `vitladder bench --machine` measures what steps cost here"
    return "memory is of tensors; time is from the steps that `vitladder bench --machine` measured"


def _bytes(count: int) -> str:
    return f"{count / GIB:.2f} GiB" if count >= GIB / 10 else f"{count / 2**20:.1f} MiB"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    if seconds < 100 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:,.1f} d"
