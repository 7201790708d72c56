"""The comparison: every choice at the same size and budget, with the spread over seeds."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from statistics import stdev
from typing import Any

import pytest

from vitladder.compose import compose_config
from vitladder.laws.fit import fit_or_reasons
from vitladder.report.comparison import comparison_rows, drawable, read_choices
from vitladder.report.page import write_page
from vitladder.runs.record import Record, Results, write_record


def run(
    attention: str, seed: int, loss: float | None, *, flops: float = 1e10, status: str = "complete"
) -> Record:
    config: dict[str, Any] = asdict(compose_config([f"attention={attention}", f"seed={seed}"]))
    return Record(
        run_key=f"{attention}-{seed}-{flops:g}",
        study="kernels",
        status=status,
        config=config,
        plan={"n_params": 4000, "flops": 1.01 * flops, "flops_target": flops, "images": 26000},
        results=Results(val_loss=loss, images=26000, images_per_s=100.0 + seed),
        environment={"data": "0a1b"},
        times={},
        command="vitladder train -m +sweep=kernels",
    )


STUDY = [
    run("naive", 0, 0.50),
    run("naive", 1, 0.54),
    run("window", 0, 0.60),
    run("window", 1, 0.66),
    run("linear", 0, None, status="failed"),
]


def test_a_choice_is_the_mean_over_seeds_the_best_first() -> None:
    choices = read_choices(STUDY)
    assert [choice.name for choice in choices] == ["attention.name=naive", "attention.name=window"]
    assert choices[0].mean == pytest.approx(0.52)
    assert choices[0].spread == pytest.approx(stdev([0.50, 0.54]))
    rows = comparison_rows(choices)
    assert rows[0][:7] == [
        "attention.name=naive",
        "4k",
        rows[0][2],
        "2",
        "0.5200",
        "0.0283",
        "0.0000",
    ]
    assert rows[1][6] == "0.1100"


def test_choices_are_compared_within_a_budget_only() -> None:
    more = [run("naive", 0, 0.30, flops=1e11), run("window", 0, 0.35, flops=1e11)]
    rows = comparison_rows(read_choices([*STUDY, *more]))
    assert [row[6] for row in rows] == ["0.0000", "0.1100", "0.0000", "0.0500"]


def test_runs_that_differ_in_size_and_seed_alone_are_not_compared() -> None:
    assert read_choices([run("naive", 0, 0.5), run("naive", 1, 0.5)]) == []
    assert read_choices([]) == []
    assert not drawable([])


def test_the_page_of_a_study_of_kernels_compares_them_and_says_why_there_is_no_law() -> None:
    folder = Path("kernels")
    for record in STUDY:
        (folder / record.run_key).mkdir(parents=True)
        write_record(folder / record.run_key, record)
    page = write_page(folder, fit_or_reasons(folder), command="vitladder report kernels")
    text = page.read_text(encoding="utf-8")
    assert "Of 2 choices at 10¹⁰ FLOPs, attention.name=naive has the lowest" in text
    assert "The next is attention.name=window, 0.1100 above." in text
    assert "Choices compared" in text
    assert "attention.name=window" in text
    assert "one law is over size, compute and seed alone" in text
    assert (folder / "figures" / "comparison.svg").exists()
