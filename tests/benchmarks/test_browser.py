"""The site's pages in a browser: tables are sorted and filtered, and fit a phone, a tablet and a desk.

Chromium reads a page from its folder with the network off, a script that is added to it does what a reader would, and what has
become of the page is read back. Where no Chromium is installed this is skipped.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

from benchmarks.site.build import build, measured_pages
from benchmarks.site.page import FRONT, problem_address
from benchmarks.site.sources import gather

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PROBLEM = "poisson/two-body"
ERRORS = {"slow-row": 0.3, "good-row": 0.01, "middle-row": 0.05, "failed-row": None}
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND"),
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory, make_replicates) -> Path:
    """A site about one problem with four rows, one of which failed."""
    for package in ("mkdocs", "material"):
        pytest.importorskip(package)
    place = tmp_path_factory.mktemp("browser")
    made = [r for name, error in ERRORS.items() for r in make_replicates(name, error, error, error)]
    of = lambda cell: cell.model_copy(update={"problem": cell.problem.model_copy(update={"name": PROBLEM})})
    records = [record.model_copy(update={"cell": of(record.cell)}) for record in made]
    build(measured_pages(gather(records, place, PROBLEM)), place / "site")
    return place / "site"


def after(page: Path, script: str, width: int = 1280) -> object:
    """Opens a page, runs the body of a function in it when it is loaded, and returns what that returns."""
    text = page.read_text(encoding="utf-8")
    tried = page.with_name("tried.html")
    tell = f"document.body.dataset.told = JSON.stringify((() => {{ {script} }})())"
    tried.write_text(
        text.replace("</body>", f"<script>addEventListener('load', () => {{ {tell} }})</script></body>")
    )
    try:
        command = [BROWSER, *FLAGS, f"--window-size={width},900", "--virtual-time-budget=5000", "--dump-dom"]
        command += [f"--user-data-dir={page.parent / 'profile'}", tried.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    finally:
        tried.unlink()
    told = re.search(r'data-told="([^"]*)"', done.stdout)
    assert told, done.stderr[-2000:]
    return json.loads(unescape(told[1]))


ROWS = "const table = [...document.querySelectorAll('table.data')].find(t => t.textContent.includes('good-row'));"
NAMES = "[...table.tBodies[0].rows].filter(r => !r.hidden).map(r => r.querySelector('th').textContent.trim())"


def test_a_click_on_a_head_sorts_by_numbers_and_another_turns_it(site):
    """What has no number stands last both times, and the head says the direction to a screen reader."""
    click = (
        f"{ROWS} const head = [...table.tHead.rows[0].cells].find(c => c.textContent.startsWith('relative L2'));"
        f"const seen = [{NAMES}];"
        "for (const turn of [1, 2]) { head.querySelector('button').click();"
        f"seen.push({NAMES}, head.getAttribute('aria-sort')); }}"
        "return seen;"
    )
    whole, up, first, down, second = after(site / problem_address(PROBLEM), click)
    of = lambda names: [name for name in names if name in ERRORS]
    assert sorted(whole) == sorted(up) == sorted(down)
    assert of(up) == ["good-row", "middle-row", "slow-row", "failed-row"]
    assert of(down) == ["slow-row", "middle-row", "good-row", "failed-row"]
    assert (first, second) == ("ascending", "descending")


@pytest.mark.parametrize("width", [390, 820, 1440])
@pytest.mark.parametrize("address", [FRONT, problem_address(PROBLEM)])
def test_a_page_is_as_wide_as_the_window(site, address, width):
    """Tables scroll in boxes of their own, and the page does not."""
    told = "return [document.documentElement.scrollWidth, window.innerWidth, document.styleSheets.length];"
    inside, outside, styles = after(site / address, told, width)
    assert inside <= outside
    assert styles > 0
