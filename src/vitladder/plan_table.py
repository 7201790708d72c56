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
from vitladder.layout import layout_of

GIB = 2**30
_MOST_WAYS = 3


@dataclass(frozen=True)
class PlannedCost:
    """One run of a plan: what it is, what it does, what it needs, and what would make it fit."""

    run: Planned
    machine: Machine
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


def totals(costs: Sequence[PlannedCost]) -> Totals:
    """Return the sums; energy is the board power of all devices for all of a run's time."""
    hours = [_times(cost.forecast.seconds, _devices(cost) / 3600) for cost in costs]
    watts = [cost.machine.watts for cost in costs]
    prices = [cost.run.config.price for cost in costs]
    kilowatt_hours = [
        _times(_times(hour, watt), 1 / 1000) for hour, watt in zip(hours, watts, strict=True)
    ]
    return Totals(
        flops=sum(cost.plan.flops for cost in costs),
        seconds=_sum([cost.forecast.seconds for cost in costs]),
        energy_kwh=_sum(kilowatt_hours),
        money=_sum([_times(hour, price) for hour, price in zip(hours, prices, strict=True)]),
    )


def _devices(cost: PlannedCost) -> int:
    return layout_of(cost.run.config.parallel).devices


def _times(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left * right


def _sum(parts: Sequence[float | None]) -> float | None:
    """Return the sum, or None where a part is not known."""
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


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


def plan_table(costs: Sequence[PlannedCost], total: Totals) -> Table:
    """Return the runs as a table, with a column for the machine where there are several."""
    machines = list(dict.fromkeys(cost.machine.name for cost in costs))
    where = machines[0] if len(machines) == 1 else f"{len(machines)} machines"
    table = Table(
        title=f"{len(costs)} run{'s' * (len(costs) > 1)} on {where}: {_totals(total)}",
        caption=_notes(costs),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    names = "run shape N C/image C steps D epochs tokens micro-batch memory sent time MFU"
    for name in names.split():
        table.add_column(name, justify="left" if name == "run" else "right", no_wrap=True)
    if len(machines) > 1:
        table.add_column("machine")
    for cost in costs:
        table.add_row(*_cells(cost), *([cost.machine.name] if len(machines) > 1 else []))
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
        _bytes(needed.communication_bytes) if needed.communication_bytes else "0",
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


def _notes(costs: Sequence[PlannedCost]) -> str:
    several = any(_devices(cost) > 1 for cost in costs)
    notes = [
        f"memory is of tensors on the {'fullest ' if several else ''}device, sent is bytes from "
        f"{'the busiest' if several else 'it'} in a step"
    ]
    known = [cost.forecast for cost in costs if cost.forecast.seconds is not None]
    if any(not foreseen.assumed for foreseen in known):
        notes.append("time is from the steps that `vitladder bench --machine` measured")
    if any(foreseen.assumed for foreseen in known):
        notes.append(
            "time and MFU of listed devices are assumed, not measured: products at 0.7 of the "
            "data sheet's roof, traffic at 0.8 of its bandwidth"
        )
    reasons = dict.fromkeys(cost.forecast.why_no_time for cost in costs)
    notes += [f"no time: {reason}" for reason in reasons if reason]
    if any(cost.run.config.tune for cost in costs):
        notes.append("tune=true: memory and time are of the run as it is asked, before tuning")
    return "; ".join(notes)


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
