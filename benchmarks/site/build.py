"""Builds the site: pages are written as Markdown into a temporary folder, and MkDocs with the theme Material makes HTML of them.

Nothing of it is loaded from the network: no fonts, no search service, no address of its own. The same sources give the same
bytes, so that a site can be compared with another.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from benchmarks.records.errors import UserError
from benchmarks.site import front, gallery, guides, history, problems, reference, solvers, tracks
from benchmarks.site.formulas import missing
from benchmarks.site.page import (
    FRONT,
    GALLERY,
    HISTORY,
    PAPERS,
    PROBLEMS,
    SOLVERS,
    TRACKS,
    Page,
    problem_address,
)
from benchmarks.site.sources import Sources

_MARK = ".pdezoo-site"
"""A file of this name says that a folder is a site, which may be replaced."""
_STATIC = ("site.css", "tables.js")
_DROPPED = ("404.html", "sitemap.xml", "sitemap.xml.gz")  # they need the site's address, which it has not
_PALETTE = [
    {"media": f"(prefers-color-scheme: {name})", "scheme": scheme, "primary": "blue grey", "accent": "blue"}
    for name, scheme in (("light", "default"), ("dark", "slate"))
]
_EXTENSIONS = ("tables", "sane_lists", "pymdownx.superfences", "pymdownx.highlight")


def all_pages(sources: Sources) -> list[Page]:
    """Returns every page of the site."""
    return [*measured_pages(sources), *guides.pages(), *reference.pages()]


def measured_pages(sources: Sources) -> list[Page]:
    """Returns the pages that are made of records and registries: all but the guides and the API reference."""
    return [
        front.front_page(sources),
        *problems.pages(sources),
        *solvers.pages(sources),
        *tracks.pages(sources),
        front.papers_page(sources),
        *history.pages(sources),
        gallery.gallery_page(sources),
    ]


def require_ready(output: Path) -> None:
    """Raises UserError where MkDocs or its theme is not installed, and where `output` holds anything but a site."""
    _require_replaceable(output)
    _require_mkdocs()


def build(pages: list[Page], output: Path) -> None:
    """Makes a site of the pages in the folder `output`, which it replaces if a site is there.

    Raises UserError as `require_ready` does, and where a page links to one that is not among them.
    """
    require_ready(output)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _write(pages, place / "docs")
        _make(pages, place)
        _replace(place / "html", output)


def files_of(site: Path) -> dict[str, bytes]:
    """Returns the files of a site by their addresses. Raises UserError where the folder holds none."""
    if not (site / _MARK).is_file():
        raise UserError(f"{site} holds no site; `pdezoo site --output {site}` makes one")
    paths = sorted(path for path in site.rglob("*") if path.is_file())
    return {path.relative_to(site).as_posix(): path.read_bytes() for path in paths}


def _require_replaceable(output: Path) -> None:
    if output.is_dir() and any(output.iterdir()) and not (output / _MARK).is_file():
        raise UserError(
            f"{output} holds files that are no site made before; name a new folder: --output site"
        )
    if output.exists() and not output.is_dir():
        raise UserError(f"a site is a folder, and {output} is a file; name a new folder: --output site")


def _require_mkdocs() -> None:
    for package in ("mkdocs", "material", "pymdownx"):
        try:
            __import__(package)
        except ImportError:
            raise missing("mkdocs-material") from None


def _write(pages: Iterable[Page], place: Path) -> None:
    for page in pages:
        for name, content in {page.source: page.markdown.encode(), **page.files}.items():
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for name in _STATIC:
        (place / "assets").mkdir(exist_ok=True)
        (place / "assets" / name).write_bytes((files("benchmarks") / "site" / "static" / name).read_bytes())


def _make(pages: list[Page], place: Path) -> None:
    from mkdocs.commands.build import build as make
    from mkdocs.config import load_config
    from mkdocs.exceptions import MkDocsException
    from pymdownx.slugs import slugify

    settings = place / "mkdocs.yml"
    settings.write_text("site_name: pdezoo\n", encoding="utf-8")
    options: dict[str, Any] = {
        "docs_dir": str(place / "docs"),
        "site_dir": str(place / "html"),
        "theme": {"name": "material", "font": False, "palette": _PALETTE, "features": _FEATURES},
        "plugins": [],
        "use_directory_urls": False,
        "nav": menu(pages),
        "extra": {"generator": False},
        "extra_css": ["assets/site.css"],
        "extra_javascript": ["assets/tables.js"],
        "markdown_extensions": [*_EXTENSIONS, {"toc": {"slugify": slugify(case="lower"), "toc_depth": 3}}],
        "validation": {"links": {"anchors": "warn"}},
        "strict": True,
    }
    try:
        make(load_config(str(settings), **options))
    except MkDocsException as error:
        raise UserError(f"MkDocs made no site: {error}; what it says above names the page") from None


_FEATURES = ["navigation.tabs", "navigation.indexes", "navigation.prune", "navigation.top"]


def menu(pages: Iterable[Page]) -> list[dict[str, Any]]:
    """Returns the menu of the site as MkDocs reads it: rooms with their pages, problems under their families."""
    by_address = {page.address: page for page in pages}
    rooms = {
        "Leaderboard": [FRONT],
        "Problems": _room(by_address, PROBLEMS),
        "Solvers": _room(by_address, SOLVERS),
        "Tracks": _room(by_address, TRACKS),
        "Papers": [PAPERS],
        "History": _room(by_address, HISTORY),
        "Gallery": [GALLERY],
        "Guides": _room(by_address, guides.INDEX),
        "API": _room(by_address, reference.INDEX),
    }
    return [
        {title: by_address[found[0]].source if len(found) == 1 else list(_entries(found, by_address))}
        for title, found in rooms.items()
        if found
    ]


def _room(pages: dict[str, Page], index: str) -> list[str]:
    """Returns the addresses of the pages of a room, its index first."""
    folder = index.removesuffix("index.html")
    rest = [address for address in pages if address.startswith(folder) and address != index]
    return [index, *rest] if index in pages else rest


def _entries(addresses: list[str], pages: dict[str, Page]) -> Iterator[Any]:
    families: dict[str, list[dict[str, str]]] = {}
    for address in addresses:
        page = pages[address]
        family, _, variant = page.title.partition("/")
        if variant and address == problem_address(page.title):
            if family not in families:
                families[family] = []
                yield {family: families[family]}
            families[family].append({variant: page.source})
        else:
            yield page.source if address.endswith("index.html") else {page.title: page.source}


def _replace(made: Path, output: Path) -> None:
    for name in _DROPPED:
        (made / name).unlink(missing_ok=True)
    (made / _MARK).touch()
    try:
        if output.exists():
            shutil.rmtree(output)
        shutil.copytree(made, output)
    except OSError as error:
        raise UserError(f"{output} cannot be written ({error.strerror})") from None
