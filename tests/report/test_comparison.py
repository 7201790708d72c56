"""The comparison: every choice at the same size and budget, with the spread over seeds."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitladder.compose import compose_config
from vitladder.laws.fit import fit_or_reasons
from vitladder.report import captions
from vitladder.report.chart import Drawing
from vitladder.report.choices import (
    Choice,
    at_budgets,
    choice_of_each,
    pooled_spread,
    read_choices,
)
from vitladder.report.comparison import comparison, comparison_answer, comparison_rows, drawable
from vitladder.report.figures import page_figures
from vitladder.report.learning import LearningCurve, learning_curves
from vitladder.report.page import write_page
from vitladder.report.style import CHOICES
from vitladder.report.tables import run_cells, run_head
from vitladder.report.vega import to_svg
from vitladder.runs.metrics import open_rows, write_row
from vitladder.runs.record import Record, Results, write_record


@cache
def config_of(attention: str, width: int) -> dict[str, Any]:
    return asdict(compose_config([f"attention={attention}", f"model.width={width}"]))


def run(
    attention: str,
    seed: int,
    loss: float | None,
    *,
    flops: float = 1e10,
    width: int = 16,
    target: bool = True,
    status: str = "complete",
) -> Record:
    """A run of 250 parameters for each of its width, whose C is above or, without target, C."""
    plan = {"flops": 1.01 * flops, "flops_target": flops} if target else {"flops": flops}
    return Record(
        run_key=f"{attention}-{seed}-{flops:g}-{width}",
        study="kernels",
        status=status,
        config=config_of(attention, width) | {"seed": seed},
        plan={"n_params": 250 * width, "images": 26000} | plan,
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


def said(*records: Record) -> str:
    return comparison_answer(read_choices(records))


def test_a_clear_gap_is_said_with_the_spread() -> None:
    text = said(*STUDY)
    assert text == (
        "Of 2 choices at 10¹⁰ FLOPs, attention.name=naive has the lowest validation loss: 0.5200 "
        "(2 runs, standard deviation 0.0283). The next is attention.name=window, 0.1100 above. "
        "Their spread over seeds is 0.0361."
    )
    assert [row[7] for row in comparison_rows(read_choices(STUDY))] == ["–", "yes"]


def test_of_several_sizes_each_choice_has_its_best_and_is_no_other_choice() -> None:
    losses = {
        "naive": {16: [0.51, 0.51], 32: [0.50, 0.50], 64: [0.505, 0.515]},
        "window": {16: [0.56, 0.57], 32: [0.60, 0.61], 64: [0.70, 0.71]},
    }
    records = [
        run(name, seed, loss, width=width)
        for name, sizes in losses.items()
        for width, seeds in sizes.items()
        for seed, loss in enumerate(seeds)
    ]
    text = said(*records)
    assert text.startswith(
        "Of 2 choices at 10¹⁰ FLOPs, each at its best size, attention.name=naive (N 8k) has the "
        "lowest validation loss: 0.5000 "
    )
    assert "The next is attention.name=window (N 4k), 0.0650 above." in text
    rows = comparison_rows(read_choices(records))
    assert [(row[0], row[1], row[6]) for row in rows] == [
        ("attention.name=naive", "8k", "0.0000"),
        ("attention.name=window", "4k", "0.0650"),
    ]


def test_the_seeds_of_another_shape_of_the_same_size_are_not_mixed() -> None:
    other = run("naive", 0, 0.9)
    other.config["model"] = {**other.config["model"], "heads": 1, "kv_heads": 1}
    [best, _] = at_budgets(read_choices([*STUDY, other]))[0]
    assert best.losses == (0.50, 0.54)


def test_budgets_within_one_percent_are_one() -> None:
    # Without a target each kernel has its own C, and the largest is not the best for it.
    records = [
        run(name, seed, loss + 0.001 * seed, flops=flops, target=False)
        for name, loss, flops in (("naive", 0.50, 1e10), ("window", 0.60, 1.004e10))
        for seed in (0, 1)
    ]
    assert said(*records).startswith("Of 2 choices at 10¹⁰ FLOPs, attention.name=naive has")
    assert [row[6] for row in comparison_rows(read_choices(records))] == ["0.0000", "0.1000"]


def test_where_one_choice_alone_has_runs_nothing_is_comparable() -> None:
    text = said(*STUDY, run("window", 0, 0.1, flops=1e11))
    assert text.startswith(
        "At the largest budget, 10¹¹ FLOPs, only attention.name=window has runs, so nothing is "
        "comparable there. Of 2 choices at 10¹⁰ FLOPs, attention.name=naive has the lowest"
    )
    apart = [run("naive", 0, 0.5), run("window", 0, 0.1, flops=1.02e10)]
    assert "none are comparable" in said(*apart)
    rows = comparison_rows(read_choices(apart))
    assert [row[6:8] for row in rows] == [["–", "alone at this budget"]] * 2


def test_one_seed_each_does_not_tell_choices_apart() -> None:
    records = [run("naive", 0, 0.500), run("window", 0, 0.501)]
    text = said(*records)
    assert text == (
        "Of 2 choices at 10¹⁰ FLOPs the runs do not tell the best two apart: the validation loss "
        "of attention.name=naive is 0.5000 (1 run), and that of attention.name=window is 0.0010 "
        "above, with one seed each, so nobody knows how much the seed alone changes."
    )
    assert [row[7] for row in comparison_rows(read_choices(records))] == ["–", "no, one seed each"]


losses = st.lists(st.integers(1, 1000).map(lambda n: n / 1000), min_size=1, max_size=4)


@given(naive=losses, window=losses)
def test_a_winner_is_named_only_above_the_pooled_spread(
    naive: list[float], window: list[float]
) -> None:
    runs = {"naive": naive, "window": window}
    records = [run(name, k, x) for name, found in runs.items() for k, x in enumerate(found)]
    choices = read_choices(records)
    squares = sum((x - fmean(found)) ** 2 for found in runs.values() for x in found)
    free = len(naive) + len(window) - 2
    spread = pooled_spread(choices)
    if free == 0:
        assert spread is None
    else:
        assert spread == pytest.approx((squares / free) ** 0.5, abs=1e-12)
    gap = abs(fmean(naive) - fmean(window))
    clear = spread is not None and gap > spread + 1e-9
    unclear = spread is None or gap < spread - 1e-9 or gap == 0
    text, told = comparison_answer(choices), comparison_rows(choices)[1][7]
    if clear:
        better = min(runs, key=lambda name: fmean(runs[name]))
        assert f"attention.name={better} has the lowest" in text
        assert told == "yes"
    if unclear:
        assert "do not tell the best two apart" in text
        assert told.startswith("no")
        assert "has the lowest" not in text


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
    runs = text[text.index('<section id="runs"') :]
    assert '<th scope="col">State</th><th scope="col">Choice</th>' in runs
    assert runs.count("<td>complete</td><td>attention.name=naive</td>") == 2
    assert "<td>failed</td><td>attention.name=linear</td>" in runs


def colours(drawing: Drawing) -> dict[str, str]:
    """The colour of each choice in a figure."""
    [scale] = {
        json.dumps(one["encoding"]["color"]["scale"]): one["encoding"]["color"]["scale"]
        for one in drawing.spec["layer"]
        if one["encoding"].get("color", {}).get("field") == "choice"
    }.values()
    return dict(zip(scale["domain"], scale["range"], strict=True))


def test_a_choice_has_one_colour_in_all_figures() -> None:
    # Which did not complete: one choice more, and a setting more in which runs differ.
    broken = run("naive", 2, None, status="diverged")
    broken = replace(broken, config={**broken.config, "optim": {"lr": 5.0}})
    records = [*STUDY, broken, run("naive", 3, None, status="interrupted")]
    choices = read_choices(records)
    folder = Path("kernels")
    for record in records:
        (folder / record.run_key).mkdir(parents=True)
        with open_rows(folder / record.run_key, last_step=0) as rows:
            write_row(rows, {"step": 1, "flops": 1e9, "val_loss": 0.9})
    figures = page_figures(folder, records, [], {}, choices)
    drawn = {one.name: one.drawing for one in (*figures.compared, *figures.speed) if one.drawing}
    drawn |= {one.name: one.drawing for one in figures.learning if one.drawing}
    assert set(drawn) == {"comparison", "throughput", "learning"}
    told = {"attention.name=naive": CHOICES[0], "attention.name=window": CHOICES[1]}
    assert {name: colours(drawing) for name, drawing in drawn.items()} == dict.fromkeys(drawn, told)
    assert {row["choice"] for row in drawn["throughput"].rows} == set(told)


def test_a_run_that_did_not_complete_is_named_as_those_that_did() -> None:
    broken = run("naive", 2, None, status="diverged")
    broken = replace(broken, config={**broken.config, "optim": {"lr": 5.0}})
    records = [*STUDY, broken]
    named = choice_of_each(records, read_choices(records))
    assert named[broken.run_key] == named[STUDY[0].run_key] == "attention.name=naive"
    assert named[STUDY[-1].run_key] == "attention.name=linear"


def test_a_row_of_the_picture_has_a_line_for_each_setting_and_nothing_is_cut() -> None:
    names = [f"attention.name=window, position.name=rope_{kind}" for kind in ("axial", "mixed")]
    choices = [
        Choice(name, 4000.0, flops, (0.5, 0.6), None, (f"{name}{flops}a", f"{name}{flops}b"))
        for name in names
        for flops in (1e10, 1e11)
    ]
    spec = comparison(choices).spec
    assert spec["encoding"]["y"]["axis"]["labelLimit"] == 0
    still = re.sub(r"<[^>]+>", "\n", to_svg(spec, "comparison", "choices"))
    for line in ("position.name=rope_axial", "position.name=rope_mixed", "C 10¹⁰", "C 10¹¹"):
        assert still.splitlines().count(line) == 2


def test_a_study_that_compares_nothing_has_no_column_of_choices() -> None:
    records = [run("naive", 0, 0.5), run("naive", 1, 0.5)]
    assert choice_of_each(records, read_choices(records)) == {}
    assert "Choice" not in run_head(choice_of_each(records, read_choices(records)))
    assert len(run_cells(records, {})[0]) == len(run_head({}))


def curve(key: str, status: str = "complete") -> LearningCurve:
    return LearningCurve(key, status, 4000, [1e9, 2e9], [0.9, 0.8])


def test_learning_curves_name_the_choice_on_hover_and_in_their_csv() -> None:
    curves = [curve("a"), curve("b"), curve("c", "failed")]
    choices = {"a": "position.name=rope_axial", "b": "position.name=learned"}
    drawing = learning_curves(curves, choices)
    assert "choice" in drawing.columns
    assert drawing.rows[0]["choice"] == "position.name=rope_axial"
    hovered = [one for one in drawing.spec["layer"] if "choice" in str(one["encoding"]["tooltip"])]
    assert len(hovered) == 2  # the wide lines and the last points of the complete runs
    assert "choice" not in str(
        [one["encoding"] for one in learning_curves(curves, {}).spec["layer"]]
    )


@pytest.mark.parametrize("count", [0, 1, 2, len(CHOICES), len(CHOICES) + 1])
def test_the_caption_of_learning_curves_says_what_the_colours_are(count: int) -> None:
    choices = {f"r{k}": f"position.name=p{k}" for k in range(count)}
    curves = [curve(key) for key in choices or ["r0"]]
    spec = learning_curves(curves, choices).spec
    [field] = {
        one["encoding"]["color"]["field"] for one in spec["layer"] if "color" in one["encoding"]
    }
    assert captions.learning(curves, choices).endswith(f"coloured by {field}.")
    assert field == ("choice" if 2 <= count <= len(CHOICES) else "size")
