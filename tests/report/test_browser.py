"""The page in a real browser: it answers to hand and keys, and asks nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from in_browser import ACCESSIBLE, Opened, visited
from page_study import COMMAND, write_run
from test_comparison import STUDY

from vitladder.laws.fit import fit_or_reasons
from vitladder.report.page import write_page
from vitladder.runs.record import write_record

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.slow


# Of the drawings that Vega is asked for, the first take as long as `SLOW` says.
SLOW = """(() => {
  let embed;
  Object.assign(window, {asked: 0, done: 0, waits: %s});
  const slow = async (...given) => {
    const wait = window.waits[window.asked++] ?? 0;
    const made = await embed(...given);
    await new Promise(rested => setTimeout(rested, wait));
    window.done++;
    return made;
  };
  Object.defineProperty(window, 'vegaEmbed', {get: () => embed && slow, set: one => embed = one});
})()"""
UNPACKED = """(() => {
  window.unpacked = 0;
  window.DecompressionStream = class extends DecompressionStream {
    constructor(kind) { super(kind); window.unpacked++; }
  };
})()"""
NEXT_FRAMES = """() => new Promise(seen =>
  requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(seen))))"""


def test_every_figure_comes_alive_and_nothing_below_it_moves(opened: Opened) -> None:
    before = opened.tab.evaluate("document.documentElement.scrollHeight")
    assert len(opened.live_names()) == 10
    after = opened.tab.evaluate("document.documentElement.scrollHeight")
    assert abs(after - before) <= 4


def test_hovering_over_a_point_names_its_run(opened: Opened) -> None:
    points = opened.live("isoflop").locator("g.mark-symbol.role-mark").first.locator("path")
    points.first.hover(force=True)
    opened.tab.locator("#tip").wait_for()
    text = opened.tab.locator("#tip").inner_text()
    assert "1.000e+10-0.25" in text
    assert "10¹⁰" in text
    opened.tab.mouse.move(5, 5)
    opened.tab.locator("#tip").wait_for(state="hidden")


def test_a_tip_goes_with_its_mark_and_on_escape(opened: Opened) -> None:
    points = opened.live("isoflop").locator("g.mark-symbol.role-mark").first.locator("path")
    for key in ("Escape", "Enter"):  # this one redraws the figure
        opened.tab.locator("#figure-isoflop .controls button").first.focus()
        opened.tab.mouse.move(5, 5)
        points.first.hover(force=True)
        opened.tab.locator("#tip").wait_for()
        opened.tab.keyboard.press(key)
        opened.tab.locator("#tip").wait_for(state="hidden")


def test_hovering_over_a_learning_curve_names_its_run(opened: Opened) -> None:
    # The lowest of its budget, near its end, where no other line is beside it.
    line = opened.live("learning").locator("g.mark-line path[stroke-width='9']").nth(2)
    near_its_end = """line => {
      const place = line.getPointAtLength(line.getTotalLength() * 0.9);
      const {x, y} = place.matrixTransform(line.getScreenCTM());
      return [x, y];
    }"""
    x, y = line.evaluate(near_its_end)
    opened.tab.mouse.move(x - 40, y)
    opened.tab.mouse.move(x, y)
    playwright.expect(opened.tab.locator("#tip b").first).to_have_text("1.000e+10-1")
    assert "complete" in opened.tab.locator("#tip").inner_text()


def test_a_tip_leaves_out_what_its_run_lacks(opened: Opened) -> None:
    points = opened.live("throughput").locator("g.mark-symbol.role-mark path")
    told = []
    for run in ("lost", "1.000e+10-1"):
        which = f"all => all.findIndex(one => one.__data__.tooltip.run === '{run}')"
        points.nth(points.evaluate_all(which)).hover(force=True)
        tip = opened.tab.locator("#tip")
        playwright.expect(tip.locator("b").first).to_have_text(run)
        told.append(tip.inner_text())
    lacks, has = told
    assert "MFU" in has
    assert "MFU" not in lacks
    assert "null" not in lacks


BRIGHT = "g.mark-symbol.role-mark >> nth=0 >> path[opacity='0.9']"


def test_a_click_on_the_legend_dims_the_other_budgets(opened: Opened) -> None:
    live = opened.live("isoflop")
    playwright.expect(live.locator(BRIGHT)).to_have_count(20)
    live.locator(".role-legend-symbol path").nth(1).click()
    playwright.expect(live.locator(BRIGHT)).to_have_count(5)
    live.locator(".role-legend-symbol path").nth(1).click()
    playwright.expect(live.locator(BRIGHT)).to_have_count(20)


def test_keys_do_what_a_click_on_the_legend_does(opened: Opened) -> None:
    live = opened.live("isoflop")
    first, second = (
        opened.tab.get_by_role("button", name=f"{budget}: show alone in IsoFLOP curves", exact=True)
        for budget in ("10¹⁰", "3.11×10¹⁰")
    )
    first.press("Enter")
    playwright.expect(live.locator(BRIGHT)).to_have_count(5)
    opened.tab.keyboard.press("Tab")
    playwright.expect(second).to_be_focused()
    opened.tab.keyboard.press("Space")
    playwright.expect(live.locator(BRIGHT)).to_have_count(10)
    # The legend and the buttons say the same, and another scale leaves it so.
    live.locator(".role-legend-symbol path").nth(0).click()
    playwright.expect(live.locator(BRIGHT)).to_have_count(5)
    playwright.expect(first).to_have_attribute("aria-pressed", "false")
    playwright.expect(second).to_have_attribute("aria-pressed", "true")
    opened.tab.locator("#figure-isoflop .controls button").first.click()
    live.locator(".role-axis-label text", has_text="5k").first.wait_for()
    playwright.expect(live.locator(BRIGHT)).to_have_count(5)
    second.press("Enter")
    playwright.expect(live.locator(BRIGHT)).to_have_count(20)


def test_an_axis_is_switched_between_log_and_linear(opened: Opened) -> None:
    live = opened.live("isoflop")
    labels = "all => all.map(one => one.textContent)"
    ticks = live.locator(".role-axis-label text")
    before = ticks.evaluate_all(labels)
    button = opened.tab.locator("#figure-isoflop .controls button").first
    assert button.inner_text() == "x: log"
    button.click()
    live.locator(".role-axis-label text", has_text="5k").first.wait_for()
    assert button.inner_text() == "x: linear"
    assert ticks.evaluate_all(labels) != before
    button.click()
    live.locator(".role-axis-label text", has_text="1k").first.wait_for()
    assert ticks.evaluate_all(labels) == before


def test_the_last_of_two_quick_clicks_counts(browser: Any, report: Path) -> None:
    with visited(browser, report, SLOW % "[]") as page:
        page.live_names()  # nothing else is drawn from here on
        page.tab.wait_for_function("asked === done")
        live = page.live("isoflop")
        before = live.locator(".role-axis-label text").all_text_contents()
        drawn = page.tab.evaluate("waits[asked] = 500, done")  # the first will be done last
        button = page.tab.locator("#figure-isoflop .controls button").first
        button.click()
        page.tab.wait_for_function("drawn => asked === drawn + 1", arg=drawn)
        button.click()
        page.tab.wait_for_function("drawn => done === drawn + 2", arg=drawn)
        assert button.inner_text() == "x: log"
        assert live.locator(".role-axis-label text").all_text_contents() == before


def test_a_resize_while_a_figure_is_drawn_is_not_lost(browser: Any, report: Path) -> None:
    with visited(browser, report, SLOW % "[500, 500, 500, 500]") as page:
        page.tab.locator("#figure-isoflop .plot").scroll_into_view_if_needed()
        page.tab.wait_for_function("window.asked > 0")
        assert page.tab.locator(".live").count() == 0
        page.tab.set_viewport_size({"width": 1000, "height": 900})
        page.tab.wait_for_function("""() => {
          const plot = document.querySelector('#figure-isoflop .plot');
          const width = plot.querySelector('.live svg')?.width.baseVal.value;
          return Math.abs(width - plot.clientWidth) <= 1;
        }""")


def test_vega_is_unpacked_once_and_not_before_a_figure_is_in_view(
    browser: Any, report: Path
) -> None:
    with visited(browser, report, UNPACKED, height=60) as page:
        page.tab.evaluate(NEXT_FRAMES)
        assert page.tab.evaluate("window.unpacked") == 0
        page.tab.set_viewport_size({"width": 1280, "height": 900})
        page.live("isoflop")
        page.live("learning")
        assert page.tab.evaluate("window.unpacked") == 1


def test_the_table_of_runs_sorts_by_the_number_behind_a_cell(opened: Opened) -> None:
    head = opened.tab.locator("#runs thead th", has_text="Val. loss")
    at = head.evaluate("one => one.cellIndex")
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    *losses, last = opened.column(at)
    assert last == ""  # what is not known is at the end
    assert [float(one) for one in losses] == sorted(float(one) for one in losses)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    *losses, last = opened.column(at)
    assert last == ""
    assert [float(one) for one in losses] == sorted((float(x) for x in losses), reverse=True)
    assert opened.tab.locator("#runs [aria-sort]").count() == 1


def test_numbers_are_not_sorted_as_text(opened: Opened) -> None:
    head = opened.tab.locator("#runs thead th", has_text="D, images")
    head.locator("button").click()
    images = opened.column(head.evaluate("one => one.cellIndex"))
    assert images == sorted(images, key=float)
    assert images != sorted(images)


def test_the_filter_keeps_the_rows_that_have_its_words(opened: Opened) -> None:
    opened.tab.locator("#filter").fill("diverged LOST")
    assert opened.tab.locator("#runs tbody tr:visible").count() == 1
    assert opened.tab.locator("#filtered").inner_text() == "1 of 21 runs"
    ends_meet = "[...document.querySelector('#runs tbody tr').cells].map(c => c.textContent)"
    opened.tab.locator("#filter").fill("".join(opened.tab.evaluate(ends_meet)[2:4]))
    assert opened.tab.locator("#runs tbody tr:visible").count() == 0
    opened.tab.locator("#filter").fill("")
    assert opened.tab.locator("#runs tbody tr:visible").count() == 21
    assert opened.tab.locator("#runs a").get_attribute("href") == "lost/train.log"


def test_a_page_of_failures_alone_is_quiet(browser: Any, tmp_path: Path) -> None:
    for key in ("one", "two"):
        write_run(tmp_path, key, status="failed", loss=None, error="out of memory")
    report = write_page(tmp_path, fit_or_reasons(tmp_path), command=COMMAND)
    with visited(browser, report) as page:
        page.live_names()
        assert page.tab.locator("#trouble tbody tr").count() == 2
        assert page.tab.evaluate(ACCESSIBLE) == []


def test_a_page_that_compares_kernels_comes_alive(browser: Any, tmp_path: Path) -> None:
    for record in STUDY:
        (tmp_path / record.run_key).mkdir()
        write_record(tmp_path / record.run_key, record)
    report = write_page(tmp_path, fit_or_reasons(tmp_path), command=COMMAND)
    with visited(browser, report) as page:
        assert "comparison" in page.live_names()
        page.tab.get_by_role("button", name="attention.name=window: show alone in").first.press(
            "Enter"
        )
        assert page.tab.locator("[aria-pressed=true]").count() == 1
        assert page.tab.evaluate(ACCESSIBLE) == []
