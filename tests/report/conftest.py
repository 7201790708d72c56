"""One browser and one page for all tests that look at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from in_browser import ARGUMENTS, CHROMIUM, Opened, visited
from page_study import COMMAND, write_run, write_study

from vitladder.laws.fit import fit_or_reasons
from vitladder.report.page import write_page


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a study with a law, its bands, and a run that failed."""
    folder = write_study(tmp_path_factory.mktemp("study"))
    write_run(folder, "lost", status="diverged", loss=None, mfu=None, error="NaN at step 40")
    (folder / "lost" / "train.log").write_text("lost\n")
    return write_page(folder, fit_or_reasons(folder, bootstrap=60), command=COMMAND)


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not there")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser: Any, report: Path) -> Iterator[Opened]:
    with visited(browser, report) as page:
        yield page
