"""The page of studies that lack something: laws, minima, complete runs, measures; or have a lot."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from page_structure import Structure
from page_study import COMMAND, page_of, runs_of, write_run, write_study

from vitladder.laws.fit import fit_or_reasons, fit_sources, unfitted_study
from vitladder.laws.request import Request
from vitladder.report.page import write_page


def test_runs_that_did_not_complete_are_in_the_tables(tmp_path: Path) -> None:
    write_study(tmp_path)
    write_run(tmp_path, "lost", status="diverged", loss=None, error="loss became NaN at step 40")
    text = page_of(tmp_path)
    assert "Runs that did not complete" in text
    assert '<th scope="row">lost</th><td>–</td><td>diverged</td>' in text
    assert '<th scope="row">lost</th><td>diverged</td><td>loss became NaN at step 40</td>' in text
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
    for device in ("cpu", "NVIDIA H100"):
        for file in tmp_path.glob("*/record.json"):
            record = json.loads(file.read_text())
            record["environment"]["device"] = device
            record["forecast"]["peak_memory_bytes"] = 673_200_000
            file.write_text(json.dumps(record))
        text = page_of(tmp_path)
        told = "a CPU&#x27;s run measures the memory of the whole process" in text
        assert told == (device == "cpu")
        assert (tmp_path / "figures" / "memory.csv").exists() != told
    assert "Median error 10 %" in text


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
