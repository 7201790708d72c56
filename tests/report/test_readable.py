"""The page for every eye and ear: phones, the dark, print, no scripts, screen readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from in_browser import ACCESSIBLE, SCHEMES, Opened

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_phone_scrolls_down_only(opened: Opened, scheme: str) -> None:
    opened.tab.emulate_media(color_scheme=scheme)
    opened.tab.set_viewport_size({"width": 390, "height": 800})
    opened.live_names()
    assert opened.tab.evaluate("document.documentElement.scrollWidth") <= 390


WHITE = r"""() => [...document.querySelectorAll('body, body *')].map(one => {
  const {backgroundColor, fill} = getComputedStyle(one);
  return one.namespaceURI.endsWith('svg') ? fill : backgroundColor;
}).filter(colour => /rgb\(2[45]\d, 2[45]\d, 2[45]\d\)/.test(colour))"""


def test_the_dark_has_no_white_ground(opened: Opened) -> None:
    opened.live_names()
    assert len(opened.tab.evaluate(WHITE)) > 10
    opened.tab.emulate_media(color_scheme="dark")
    opened.tab.locator("#figure-roof .live text[fill='#e6e9ed']").first.wait_for()
    assert opened.tab.evaluate(WHITE) == []


def test_print_is_light_and_shows_the_still_figures(opened: Opened) -> None:
    opened.live_names()
    opened.tab.locator("#filter").fill("lost")
    opened.tab.emulate_media(media="print", color_scheme="dark")
    assert opened.tab.locator("#runs tbody tr:visible").count() == 21  # of "every run"
    assert opened.tab.locator(".plot > svg:visible").count() == 10
    assert opened.tab.locator(".live:visible, .controls:visible, .filter:visible").count() == 0
    body = "getComputedStyle(document.body)"
    assert opened.tab.evaluate(f"{body}.backgroundColor") == "rgb(255, 255, 255)"
    assert opened.tab.evaluate(f"{body}.color") == "rgb(28, 36, 48)"


def test_without_scripts_everything_is_there(browser: Any, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(report.as_uri())
    assert tab.locator(".plot > svg:visible").count() == 10
    assert tab.locator("#runs tbody tr:visible").count() == 21
    assert tab.locator(".filter:visible").count() == 0
    context.close()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_seen_can_be_heard_and_read(opened: Opened, scheme: str) -> None:
    opened.tab.emulate_media(color_scheme=scheme)
    opened.tab.reload()
    opened.live_names()
    assert opened.tab.evaluate(ACCESSIBLE) == []


def test_the_still_figures_are_dark_before_they_are_alive(browser: Any, report: Path) -> None:
    context = browser.new_context(java_script_enabled=True, color_scheme="dark")
    tab = context.new_page()
    tab.add_init_script("delete window.IntersectionObserver")
    tab.goto(report.as_uri())
    assert tab.locator(".controls").count() == 0
    assert tab.evaluate(ACCESSIBLE) == []
    context.close()
