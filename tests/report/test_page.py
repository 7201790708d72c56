"""The page: everything is in it, nothing is loaded by it, and it survives any study."""

from __future__ import annotations

import csv
import json
import re
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from page_structure import Structure
from page_study import COMMAND, page_of, runs_of, write_run, write_study

from vitladder.errors import UserError
from vitladder.report.page import write_page
from vitladder.report.vega import without_ground

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


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with its page and figures, with intervals; it is only read."""
    folder = write_study(tmp_path_factory.mktemp("study"))
    page_of(folder, bootstrap=10)
    return folder


@pytest.fixture(scope="module")
def page(study: Path) -> str:
    return (study / "report.html").read_text(encoding="utf-8")


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
