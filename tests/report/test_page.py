"""The page: everything is in it, nothing is loaded by it, and it survives any study."""

from __future__ import annotations

import csv
import json
import re
import struct
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitladder.errors import UserError
from vitladder.laws.fit import fit_or_reasons, fit_sources, unfitted_study
from vitladder.laws.forms import ParametricLaw
from vitladder.laws.request import Request
from vitladder.report.page import write_page
from vitladder.report.vega import without_ground

LAW = ParametricLaw(E=0.3, A=60.0, B=900.0, alpha=0.5, beta=0.55)
COMMAND = "vitladder report outputs/demo"
FIGURES = (
    "isoflop",
    "frontier",
    "optimum_n",
    "optimum_d",
    "predicted",
    "durations",
    "throughput",
    "mfu",
    "roof",
    "learning",
)
SECTIONS = (
    "answer",
    "laws",
    "predicted",
    "comparison",
    "speed",
    "learning",
    "runs",
    "trouble",
    "made",
)


def write_run(folder: Path, key: str, **changes: Any) -> None:
    """One run's record.json and metrics.csv."""
    run = {"n_params": 4000, "images": 26000, "flops": 1e10, "loss": 1.0, "status": "complete"}
    run |= {"study": "demo", "error": None, "mfu": 0.11} | changes
    record = {
        "schema": 1,
        "run_key": key,
        "study": run["study"],
        "status": run["status"],
        "config": {"model": {"width": 16, "depth": 1, "heads": 1, "patch": 2}},
        "plan": {
            "n_params": run["n_params"],
            "flops": run["flops"],
            "flops_target": run["flops"],
            "flops_per_image": 96 * run["n_params"],
        },
        "results": {
            "images": run["images"],
            "val_loss": run["loss"],
            "val_error": 0.125,
            "images_per_s": 9000.0,
            "mfu": run["mfu"],
            "peak_memory_bytes": 612_000_000,
        },
        "environment": {
            "versions": {"vitladder": "0.1.0", "torch": "2.14.1"},
            "git_commit": "0123abcd",
            "machine": "A machine & two cores",
            "device": "cpu",
            "threads": 1,
        },
        "times": {"seconds": 12.3},
        "forecast": {"seconds": 11.0},
        "command": "vitladder train -m +sweep=demo",
        "error": run["error"],
    }
    (folder / key).mkdir(parents=True)
    (folder / key / "record.json").write_text(json.dumps(record))
    (folder / key / "metrics.csv").write_text(
        "step,images,flops,train_loss,val_loss\n"
        f"100,6400,{run['flops'] / 2},2.1,2.2\n200,12800,{run['flops']},1.9,\n"
        f"200,12800,{run['flops']},,{run['loss'] or ''}\n300,19"
    )


def write_study(folder: Path, budgets: int = 4, **changes: Any) -> Path:
    rng = np.random.default_rng(0)
    for flops in np.geomspace(1e10, 3e11, budgets):
        best = float(LAW.optimal(np.array([flops]), 96.0)[0][0])
        for factor in (0.25, 0.5, 1, 2, 4):
            n_params = round(best * factor)
            images = flops / (96 * n_params)
            loss = float(LAW.loss(np.array([n_params]), np.array([images]))[0])
            write_run(
                folder,
                f"{flops:.3e}-{factor}",
                n_params=n_params,
                images=images,
                flops=float(flops),
                loss=loss * float(np.exp(0.01 * rng.standard_normal())),
                **changes,
            )
    return folder


def page_of(folder: Path, bootstrap: int = 0) -> str:
    fit = fit_or_reasons(folder, bootstrap=bootstrap)
    return write_page(folder, fit, command=COMMAND).read_text(encoding="utf-8")


def runs_of(text: str) -> str:
    """The section of the page with the table of runs."""
    return text.partition('<section id="runs"')[2].partition("</section>")[0]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with its page and figures, with intervals; it is only read."""
    folder = write_study(tmp_path_factory.mktemp("study"))
    page_of(folder, bootstrap=10)
    return folder


@pytest.fixture(scope="module")
def page(study: Path) -> str:
    return (study / "report.html").read_text(encoding="utf-8")


class Structure(HTMLParser):
    """Tags that must be balanced, ids, references, and whatever would be loaded."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.loads: list[str] = []
        self.links: list[str] = []
        self.tags: Counter[str] = Counter()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        if tag not in ("meta", "br", "link", "img", "input"):
            self.open.append(tag)
        self.handle_attributes(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.handle_attributes(tag, attrs)

    def handle_attributes(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("aria-labelledby", "for"):
                self.references.append(f"#{value}")
            if name in ("href", "xlink:href", "src"):
                text = value or ""
                if text.startswith("#"):
                    self.references.append(text)
                elif tag == "a" and name == "href":
                    self.links.append(text)
                else:
                    self.loads.append(text)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_holds_the_answer_figures_tables_and_how_it_was_made(
    study: Path, page: str
) -> None:
    for name in FIGURES:
        assert f'id="figure-{name}"' in page
    for words in (
        "From 20 complete runs at 4 budgets",
        "Fitted without the largest budget",
        "log RMSE",
        "Parametric law",
        "Minimum of each budget",
        "Every run of the study",
        "vitladder train -m +sweep=demo",
        COMMAND,
        "torch 2.14.1",
        "A machine &amp; two cores",
        "0123abcd",
        "3 × forward matmul FLOPs",
        "L(N, D) = ",
        "of 10 draws gave the IsoFLOP law",
        "12.5 %",
        "Median error 11 %",
        "Every run is complete",
        "612MB",
    ):
        assert words in page, words
    assert runs_of(page).count('<th scope="row">1.000e+10-') == 5


def test_the_page_is_well_formed_and_loads_nothing(page: str) -> None:
    structure = Structure(page)
    assert structure.open == []
    assert structure.loads == []
    assert set(structure.links) == {f"figures/{name}.csv" for name in FIGURES}
    assert structure.tags["link"] == structure.tags["img"] == 0
    without_namespaces = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert "http:" not in without_namespaces
    assert "https:" not in without_namespaces
    assert "@import" not in page
    assert re.findall(r"url\((?!#)", page) == []


def test_ids_are_unique_over_all_figures_and_every_reference_has_its_target(page: str) -> None:
    structure = Structure(page)
    assert [name for name, count in Counter(structure.ids).items() if count > 1] == []
    used = {reference[1:] for reference in structure.references}
    used |= set(re.findall(r"url\(#([^)]+)\)", page))
    assert used <= set(structure.ids)
    assert used


def test_every_figure_has_a_label_and_a_caption(page: str) -> None:
    assert len(re.findall(r'<svg[^>]*role="img" aria-label="[^"]{20,}"', page)) == len(FIGURES)
    assert page.count("<figcaption>") == len(FIGURES)


def test_sections_and_figures_stand_in_their_order(page: str) -> None:
    ids = Structure(page).ids
    assert [one for one in ids if one in SECTIONS] == [s for s in SECTIONS if s != "comparison"]
    figures = [one.removeprefix("figure-") for one in ids if one.startswith("figure-")]
    assert [name for name in figures if name in FIGURES] == list(FIGURES)


def test_every_figure_is_also_svg_png_and_csv(study: Path, page: str) -> None:
    files = {file.name for file in (study / "figures").iterdir()}
    assert files == {f"{name}.{kind}" for name in FIGURES for kind in ("svg", "png", "csv")}
    for name in FIGURES:
        svg = (study / "figures" / f"{name}.svg").read_text(encoding="utf-8")
        assert svg not in page
        assert without_ground(svg) in page
        png = (study / "figures" / f"{name}.png").read_bytes()
        width, height = struct.unpack(">II", png[16:24])
        box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
        assert box is not None
        assert [width, height] == [pytest.approx(2 * float(side), abs=1) for side in box.groups()]
    with (study / "figures" / "isoflop.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["what"] for row in rows[:24]] == ["run"] * 20 + ["minimum"] * 4
    record = json.loads((study / rows[0]["run"] / "record.json").read_text())
    assert float(rows[0]["loss"]) == record["results"]["val_loss"]


def test_the_same_study_gives_the_same_bytes(tmp_path: Path, page: str) -> None:
    assert page_of(write_study(tmp_path), bootstrap=10) == page


def test_text_from_records_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    write_study(tmp_path, study=evil)
    write_run(tmp_path, "bad", status="failed", loss=None, study=evil, error=f"boom {evil}")
    text = page_of(tmp_path)
    assert "alert(1)</script" not in text
    assert "boom &lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<h1>&lt;script&gt;" in text


def test_runs_that_did_not_complete_are_in_the_tables(tmp_path: Path) -> None:
    write_study(tmp_path)
    write_run(tmp_path, "lost", status="diverged", loss=None, error="loss became NaN at step 40")
    text = page_of(tmp_path)
    assert "Runs that did not complete" in text
    assert '<th scope="row">lost</th><td>–</td><td>diverged</td>' in text
    assert '<th scope="row">lost</th><td>diverged</td><td>loss became NaN at step 40</td>' in text
    assert "loss became NaN at step 40" in text
    assert "20 complete, 1 diverged" in text


def test_edge_minima_are_shown_as_such(tmp_path: Path) -> None:
    for i, loss in enumerate((1.0, 1.2, 1.5, 1.9)):
        write_run(tmp_path, f"r{i}", n_params=1000 * 2**i, images=1e5 / 2**i, loss=loss)
    text = page_of(tmp_path)
    assert "edge: the smallest size is the lowest" in text
    assert "run smaller ones" in text
    assert "Hollow grey stars (1 of 1)" in text


def test_a_minimum_says_how_many_sizes_it_rests_on(tmp_path: Path) -> None:
    for i, loss in enumerate((1.5, 1.1, 1.3)):
        write_run(tmp_path, f"r{i}", n_params=1000 * 2**i, images=1e5 / 2**i, loss=loss)
    assert "<td>interior, 3 sizes</td>" in page_of(tmp_path)


def test_the_page_says_how_many_draws_hold_the_same_budgets(tmp_path: Path) -> None:
    folder = write_study(tmp_path)
    fit = fit_or_reasons(folder, bootstrap=20)
    text = write_page(folder, fit, command=COMMAND).read_text(encoding="utf-8")
    resamples = fit["laws"]["isoflop"]["resamples"]
    kept = f"{resamples['same_budgets']} of {resamples['used']} draws"
    assert f"In {kept} the same 4 budgets have an interior minimum" in text
    assert "the same 4 budgets" not in page_of(folder)


def test_one_run_gives_a_page_that_says_why_there_is_no_law(tmp_path: Path) -> None:
    write_run(tmp_path, "only")
    text = page_of(tmp_path)
    assert "From one complete run" in text
    assert "no law can be fitted yet" in text
    assert "no law says yet what to train" in text
    assert (tmp_path / "figures" / "isoflop.svg").exists()
    assert not (tmp_path / "figures" / "predicted.svg").exists()
    assert Structure(text).open == []


@pytest.mark.parametrize("give_fit", [True, False])
def test_no_complete_run_gives_a_page_of_errors(tmp_path: Path, give_fit: bool) -> None:
    write_run(tmp_path, "a", status="failed", loss=None, error="out of memory")
    (tmp_path / "a" / "metrics.csv").unlink()
    fit = unfitted_study(tmp_path) if give_fit else {}
    text = write_page(tmp_path, fit, command=COMMAND).read_text(encoding="utf-8")
    assert "No run of this study is complete yet" in text
    assert "out of memory" in text
    assert Structure(text).open == []


def test_a_page_of_120_runs_is_whole(tmp_path: Path) -> None:
    folder = write_study(tmp_path, budgets=24)
    fit = unfitted_study(folder)
    # Of the laws, the one that has something of every budget: all of them take 8 s.
    one = fit_sources([folder], Request(law="isoflop", bootstrap=0)).data
    fit["laws"]["isoflop"] = one["laws"]["isoflop"]
    text = write_page(folder, fit, command=COMMAND).read_text(encoding="utf-8")
    structure = Structure(text)
    assert "From 120 complete runs at 24 budgets" in text
    assert runs_of(text).count("<td>complete</td>") == 120
    assert text.count("<td>interior, 5 sizes</td>") == 24
    assert len(structure.ids) == len(set(structure.ids))
    assert len(text) < 2_000_000


@pytest.mark.slow
def test_a_page_of_500_runs_is_small_enough_to_open_at_once(tmp_path: Path) -> None:
    folder = write_study(tmp_path, budgets=100)
    evaluations = "".join(f"{k},{k},{1e8 * k},2.1,{4 / k}\n" for k in range(1, 61))
    for run in folder.glob("*e+*"):
        (run / "metrics.csv").write_text(f"step,images,flops,train_loss,val_loss\n{evaluations}")
    fit = unfitted_study(folder)
    fit["laws"]["isoflop"] = fit_sources([folder], Request(law="isoflop", bootstrap=0)).data[
        "laws"
    ]["isoflop"]
    page = write_page(folder, fit, command=COMMAND)
    assert page.stat().st_size < 3_000_000
    text = page.read_text(encoding="utf-8")
    assert runs_of(text).count("<td>complete</td>") == 500
    assert "The first 60 of 6000 rows" in text
    with (folder / "figures" / "learning.csv").open() as file:
        assert len({row["run"] for row in csv.DictReader(file)}) == 500


def test_unknown_mfu_is_said_and_not_drawn(tmp_path: Path) -> None:
    text = page_of(write_study(tmp_path, mfu=None))
    assert "MFU is left out because the device&#x27;s peak is not known" in text
    assert "MFU, %" not in text
    assert "No roof: the device&#x27;s peak is not known" in text


def test_memory_is_compared_where_a_device_counts_its_own(tmp_path: Path) -> None:
    write_study(tmp_path)
    assert "a CPU&#x27;s run measures the memory of the whole process" in page_of(tmp_path)
    for file in tmp_path.glob("*/record.json"):
        record = json.loads(file.read_text())
        record["environment"]["device"] = "NVIDIA H100"
        record["forecast"]["peak_memory_bytes"] = 673_200_000
        file.write_text(json.dumps(record))
    text = page_of(tmp_path)
    assert "Median error 10 %" in text
    assert (tmp_path / "figures" / "memory.csv").exists()


def test_a_run_leads_to_its_config_and_log_where_they_are(tmp_path: Path) -> None:
    write_study(tmp_path)
    write_run(tmp_path, "a b")
    for name in ("config.yaml", "train.log"):
        (tmp_path / "a b" / name).write_text("")
    links = [one for one in Structure(page_of(tmp_path)).links if not one.startswith("figures/")]
    assert links == ["a%20b/config.yaml", "a%20b/train.log"]


def test_flagged_runs_are_listed_with_their_score(tmp_path: Path) -> None:
    fit = fit_or_reasons(write_study(tmp_path), bootstrap=0)
    fit["flagged_runs"] = [{"run": "1.000e+10-1", "z": 7.25}]
    text = write_page(tmp_path, fit, command=COMMAND).read_text(encoding="utf-8")
    assert '<th scope="row">1.000e+10-1</th><td>7.2</td>' in text
    assert "Flagged: |z| above 5" in text


def test_a_figure_that_can_no_longer_be_drawn_leaves_no_old_file(tmp_path: Path) -> None:
    write_study(tmp_path)
    page_of(tmp_path)
    for folder in sorted(tmp_path.glob("*e+*"))[1:]:
        (folder / "record.json").unlink()
    assert (tmp_path / "figures" / "predicted.png").exists()
    page_of(tmp_path)
    assert not list((tmp_path / "figures").glob("predicted.*"))
    assert (tmp_path / "figures" / "isoflop.svg").exists()


def test_nothing_temporary_is_left_and_the_page_may_be_replaced(tmp_path: Path) -> None:
    folder = write_study(tmp_path)
    (folder / "report.html").write_text("old")
    assert page_of(folder).startswith("<!DOCTYPE html>")
    assert list(folder.rglob("*.part")) == []


def test_a_page_needs_neither_torch_nor_matplotlib(tmp_path: Path) -> None:
    code = (
        "import sys, vitladder.report.page; "
        "sys.exit(bool({'torch', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0


def test_a_folder_without_a_study_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no study at"):
        write_page(tmp_path / "none", {}, command=COMMAND)
