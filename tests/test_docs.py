"""Every page can be found from the index, and every link between pages leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def links(page: Path) -> set[Path]:
    """The files that a page links to."""
    targets = (target.partition("#")[0] for target in _LINK.findall(page.read_text(encoding="utf-8")))
    return {(page.parent / target).resolve() for target in targets if target and "://" not in target}


def test_the_index_lists_every_page():
    listed = links(ROOT / "docs" / "index.md")
    assert {page for page in PAGES if page.name != "index.md"} <= listed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    assert {target for target in links(page) if not target.exists()} == set()
