"""The site: what its pages say, that its links lead somewhere, and that it needs no network."""

from __future__ import annotations

import json
import posixpath
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from test_cli import call

import pdezoo
from benchmarks.leaderboard import tables
from benchmarks.leaderboard.markup import Html, tag
from benchmarks.leaderboard.overview import NO_RANK
from benchmarks.leaderboard.ranking import leaderboard
from benchmarks.planning.matrix import Matrix
from benchmarks.planning.tracks import Track
from benchmarks.records.checkout import ROOT
from benchmarks.records.errors import UserError
from benchmarks.records.store import Store
from benchmarks.site import guides, markdown, problems, reference, solvers, tracks
from benchmarks.site.build import all_pages, build, measured_pages, menu
from benchmarks.site.formulas import LONGEST, mathml
from benchmarks.site.gallery import solution_slice
from benchmarks.site.page import Page, block, lines, prose, relative
from benchmarks.site.sources import PROOFS, gather
from benchmarks.site.usual import USUAL

PROBLEM = "poisson/two-body"


@pytest.fixture
def needs_mkdocs():
    for package in ("mkdocs", "material", "latex2mathml"):
        pytest.importorskip(package)


@pytest.fixture
def records(make_replicates):
    """Two ranked solvers, one that failed and an oracle on a problem that is registered."""
    made = [
        *make_replicates("stde", 0.1, 0.11, 0.12, affine=0.3),
        *make_replicates("hte", 0.2, 0.21, 0.22, affine=0.3),
        *make_replicates("exact", None, affine=0.3),
        *make_replicates("stde", 0.15, 0.16, 0.17, affine=0.3, dim=50),
    ]
    return [
        r.model_copy(
            update={
                "cell": r.cell.model_copy(
                    update={"problem": r.cell.problem.model_copy(update={"name": PROBLEM})}
                )
            }
        )
        for r in made
    ]


@pytest.fixture
def sources(records, tmp_path):
    return gather(records, tmp_path, PROBLEM)


class Elements(HTMLParser):
    """What a page consists of: its elements with their attributes, in order, and the texts inside of some."""

    def __init__(self, page: Path):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def all(self, *names):
        return [attributes for name, attributes in self.elements if name in names]

    @property
    def targets(self):
        """The addresses that the page links to or loads."""
        found = [*self.all("a", "link"), *self.all("script", "img")]
        return [at for attributes in found for at in (attributes.get("href"), attributes.get("src")) if at]

    @property
    def anchors(self):
        return {attributes["id"] for _, attributes in self.elements if "id" in attributes}


def pages_of(site: Path) -> dict[str, Elements]:
    return {p.relative_to(site).as_posix(): Elements(p) for p in sorted(site.rglob("*.html"))}


def dead_links(site: Path) -> list[tuple[str, str]]:
    """Links to a file that is not there, or to a place that its page has not."""
    found, dead = pages_of(site), []
    for name, page in found.items():
        for target in page.targets:
            if re.match("[a-z]+:", target):
                continue
            file, _, place = target.partition("#")
            address = posixpath.normpath(posixpath.join(posixpath.dirname(name), file)) if file else name
            there = (site / address).is_file() and (not place or place in found[address].anchors)
            dead += [] if there else [(name, target)]
    return dead


def faults(site: Path) -> list[tuple[str, str]]:
    """What loads from the network, and what a screen reader could not tell."""
    seen = []
    for name, page in pages_of(site).items():
        loaded = [a.get("src") or a.get("href", "") for a in page.all("script", "img", "link", "iframe")]
        seen += [(name, at) for at in loaded if re.match(r"(https?:)?//", at)]
        seen += [(name, "an image without alt") for image in page.all("img") if not image.get("alt")]
        drawn = [a for a in page.all("svg") if a.get("role") == "img"]
        seen += [(name, "a drawing without a label") for a in drawn if not a.get("aria-label")]
        data = [a for a in page.all("table") if a.get("class") == "data"]
        seen += [(name, "a table without a caption")] * (len(data) - len(page.all("caption")))
        labelled = [a for a in page.all("div") if a.get("class") == "scroll" and a.get("aria-label")]
        seen += [(name, "a table without a box of its own")] * (len(data) - len(labelled))
    return seen


def test_a_small_site_is_whole_and_needs_no_network(needs_mkdocs, sources, tmp_path):
    pages, site = measured_pages(sources), tmp_path / "site"
    build(pages, site)
    assert {page.address for page in pages} == {*pages_of(site)}
    assert dead_links(site) == []
    assert faults(site) == []
    shown = site / "problems" / f"{PROBLEM}.html"
    assert [a.get("role") for a in Elements(shown).all("svg")].count("img") == 1
    assert "<math" in shown.read_text(encoding="utf-8")
    again = tmp_path / "again"
    build(measured_pages(sources), again)
    both = [{p.relative_to(at): p.read_bytes() for p in at.rglob("*") if p.is_file()} for at in (site, again)]
    assert both[0] == both[1]


def test_what_is_missing_is_found(tmp_path):
    """The checks above can fail."""
    (tmp_path / "a.html").write_text(
        '<a href="b.html"></a><a href="#x"></a><script src="//cdn"></script><img src="a.html"><table class="data">'
    )
    assert dead_links(tmp_path) == [("a.html", "b.html"), ("a.html", "#x"), ("a.html", "//cdn")]
    assert len(faults(tmp_path)) == 4


@pytest.mark.slow
def test_the_whole_site_is_whole_and_needs_no_network(needs_mkdocs, tmp_path):
    root = ROOT / "results"
    pages = all_pages(gather(Store.reading(root).read().records.values(), root))
    build(pages, tmp_path / "site")
    assert dead_links(tmp_path / "site") == []
    assert faults(tmp_path / "site") == []
    assert [page.address for page in pages if "No proof of it is kept" in page.text] == []


def test_a_page_has_the_problem_its_proof_and_its_rows(needs_mkdocs, sources):
    text = problems.problem_page(PROBLEM, sources).text
    assert "No proof of it is kept here" in text
    assert "<math" in text
    for row in sources.headlines[PROBLEM].rows:
        assert f">{row.label}<" in text
    assert "exact" in text
    assert "too large" in text


def test_a_kept_proof_is_shown_while_the_problem_is_the_same(needs_mkdocs, records, tmp_path):
    report = {
        "name": PROBLEM,
        "fingerprint": pdezoo.make(PROBLEM, dim=USUAL).fingerprint,
        "checks": [
            {
                "name": "residual",
                "ok": False,
                "method": "by hand",
                "value": 0.5,
                "expected": "x",
                "detail": "off",
            }
        ],
        "audit": {"null_errors": {"affine": 0.019}, "degenerate": False, "leak": True},
    }
    (tmp_path / PROOFS).parent.mkdir()
    (tmp_path / PROOFS).write_text(json.dumps([report]))
    text = problems.problem_page(PROBLEM, gather(records, tmp_path, PROBLEM)).text
    assert "does not hold" in text
    assert "the ansatz alone is the solution" in text
    (tmp_path / PROOFS).write_text(json.dumps([report | {"fingerprint": "0" * 64}]))
    assert "does not hold" not in problems.problem_page(PROBLEM, gather(records, tmp_path, PROBLEM)).text
    (tmp_path / PROOFS).write_text("{}[")
    with pytest.raises(UserError, match="pdezoo verify --json"):
        gather(records, tmp_path, PROBLEM)


def test_what_is_registered_no_longer_has_its_tables(make_replicates, tmp_path):
    sources = gather(make_replicates("gone", 0.1, 0.1, 0.1), tmp_path, "toy")
    assert problems.GONE in problems.problem_page("toy/plain", sources).text
    assert ">gone<" in problems.problem_page("toy/plain", sources).text
    assert solvers.GONE in solvers.solver_page("gone", sources).text


def test_a_solution_that_is_constant_on_the_first_plane_is_drawn_on_another() -> None:
    """sin x₁x₂x₃ is 0 where all other coordinates are; `two-body` is drawn there."""
    found = solution_slice(pdezoo.make("poisson/sin-three-body", dim=5))
    assert found is not None
    assert found.where == " at x₃ = … = 0.5"
    assert np.nanmax(found.values) > np.nanmin(found.values)
    plain = solution_slice(pdezoo.make("poisson/two-body", dim=5))
    assert plain is not None
    assert plain.where == ""


def test_a_solver_says_where_it_wins_and_why_it_fails(sources):
    first = solvers.solver_page("stde", sources).text
    assert f'<a href="../problems/{PROBLEM}.html">{PROBLEM}</a>, d = 3: alone, before 1 ranked' in first
    assert "Shi, Zekun" in first
    assert "samples = 16" in first
    assert "No record of it is a failure." in first
    assert "In no headline table does it have rank 1." in solvers.solver_page("hte", sources).text
    failed = solvers.solver_page("exact", sources).text
    assert failed.count(">oom<") == 1
    assert ">too large<" in failed


def test_the_front_page_agrees_with_the_ranks(sources):
    from benchmarks.site.front import front_page

    text = front_page(sources).text
    group = sources.headlines[PROBLEM]
    assert group.best is not None
    (row,) = re.findall(rf'<tr><th scope="row"[^>]*><a href="problems/{PROBLEM}.html">.*?</tr>', text)
    assert f'<a href="solvers/{group.best.solver}.html">{group.best.label}</a>' in row
    assert f"{group.best.error:.3g} [" in row
    assert f"{group.nulls['affine']:.3g}" in row
    assert NO_RANK not in row
    assert "Performance profiles" in text


def test_the_papers_cells_are_marked(tmp_path):
    from benchmarks.site.front import papers_page

    text = papers_page(gather([], tmp_path, "allen-cahn/two-body")).text
    owed = int(re.search(r"(\d[\d,]*) owed", text)[1].replace(",", ""))
    assert text.count('<tr class="owed">') == owed > 0


def test_links_of_guides_lead_to_pages_of_the_site():
    pages = guides.pages()
    sources = {page.source for page in pages}
    assert pages[0].address == guides.INDEX
    assert "guides/readme.md" in sources
    for page in pages:
        folder = posixpath.dirname(page.address)
        for target in re.findall(r"\]\(([^)#\s]+)", page.text):
            if "://" not in target:
                path = posixpath.normpath(posixpath.join(folder, target))
                assert path in sources | pages[0].files.keys(), (page.address, target)


def test_without_a_checkout_there_are_no_guides(tmp_path):
    assert guides.pages(tmp_path) == []


def test_a_list_after_a_paragraph_is_a_list_and_code_is_left_alone():
    made = list(guides._for_markdown("one\n- a\n- b\n\n```\nx\n- y\n```"))
    assert made == ["one", "", "- a", "- b", "", "```", "x", "- y", "```"]


def test_the_reference_has_every_public_name():
    import solvers as methods

    pages = {page.title: page.text for page in reference.pages()}
    for name, package in (("pdezoo", pdezoo), ("solvers", methods)):
        missing = {n for n in package._HOME if f"### {n}\n" not in pages[name]}
        assert missing <= {"x", "y"}  # symbols that their home has from another module
    assert "PDE(" in pages["pdezoo"]
    assert "### leaderboard\n" in pages["benchmarks"]


def test_a_long_signature_is_broken_between_arguments():
    import ast

    node = ast.parse(
        "def f(first: tuple[int, int], second: dict[str, tuple[int, int]] = {}, *, third: str = 'a, b, c and d') -> int:\n 'D.'"
    ).body[0]
    assert reference.signature(node).count("\n") == 5
    assert "    second: dict[str, tuple[int, int]]={},\n" in reference.signature(node)


def test_markdown_beside_the_records_is_checked_and_written(records, tmp_path):
    store = Store.writing(tmp_path / "store")
    for record in records:
        store.add(record)
    stale = tmp_path / "store" / markdown.FOLDER / "gone.md"
    stale.parent.mkdir()
    stale.write_text("of a problem without records")
    assert call("site", "--markdown", "--check", store=tmp_path / "store")[0] == 1
    assert stale.exists()
    assert call("site", "--markdown", store=tmp_path / "store")[0] == 0
    assert not stale.exists()
    index = (tmp_path / "store" / markdown.INDEX).read_text(encoding="utf-8")
    assert "[poisson/two-body](problems/poisson-two-body.md)" in index
    assert "| allen-cahn/two-body | – | owed: no record |" in index
    assert call("site", "--markdown", "--check", store=tmp_path / "store")[0] == 0


def test_the_kept_tables_are_what_the_records_say():
    code, _, err = call("site", "--markdown", "--check", store=ROOT / "results")
    assert code == 0, f"run `pdezoo site --markdown`: {err}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--check"], "give both, or neither"),
        (["--markdown", "--pde", "heat"], "leave one out"),
    ],
)
def test_flags_that_do_not_belong_together(arguments, words, full_store):
    code, _, err = call("site", *arguments, store=full_store.root)
    assert (code, words in err, "Traceback" in err) == (2, True, False)


def test_a_folder_of_somebody_is_not_replaced(needs_mkdocs, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="no site made before"):
        build([], tmp_path / "mine")
    with pytest.raises(UserError, match="is a file"):
        build([], tmp_path / "mine" / "letter.txt")


def test_an_unknown_problem_is_told(needs_mkdocs, full_store, tmp_path):
    code, _, err = call("site", "--pde", "poison", "-o", str(tmp_path / "site"), store=full_store.root)
    assert (code, "did you mean" in err) == (2, True)


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "mkdocs", None)
    with pytest.raises(UserError, match=re.escape("pip install 'pdezoo[site]'")):
        build([], tmp_path / "site")
    monkeypatch.setitem(sys.modules, "latex2mathml.converter", None)
    with pytest.raises(UserError, match="latex2mathml"):
        mathml("u")


def test_the_menu_has_variants_under_their_family():
    made = [
        Page(a, t, "")
        for a, t in (("index.html", "F"), ("problems/index.html", "All"), ("problems/a/b.html", "a/b"))
    ]
    made += [Page("problems/c.html", "c", ""), Page("papers.html", "P", ""), Page("gallery.html", "G", "")]
    rooms = {k: v for entry in menu(made) for k, v in entry.items()}
    assert rooms["Problems"] == [
        "problems/index.md",
        {"a": [{"b": "problems/a/b.md"}]},
        {"c": "problems/c.md"},
    ]
    assert rooms["Leaderboard"] == "index.md"


def test_text_becomes_html_that_says_the_same():
    assert prose("One `a < b`.\n\n    x = 1\n    y") == "<p>One <code>a &lt; b</code>.</p><pre>x = 1\ny</pre>"
    assert "\n" not in block(tag("div", Html("a\n\n  b"), tag("pre", "x\ny")))
    assert "x&#10;y" in block(tag("pre", "x\ny"))
    assert lines("# A", tag("p", "b"), "") == '# A\n\n<div class="block"><p>b</p></div>\n'
    assert relative("problems/a/b.html", "solvers/c.html") == "../problems/a/b.html"


def test_powers_of_a_norm_are_of_the_norm(needs_mkdocs):
    assert "<msup><mrow><mrow><mo" in mathml("|x|^2")
    assert len(pdezoo.describe(pdezoo.make("kdv/one-soliton"), latex=True)["equation"]) < LONGEST


def test_the_page_of_a_track_counts_its_cells_and_has_its_tables_alone(sources, records):
    """Two requests, of which one has a record; the others of the site are not on the page."""
    one = Track(
        name="some-1",
        title="Some",
        about="For a test.",
        parts=[Matrix(pdes=[PROBLEM], dims=[3], solvers=["stde", "hte"], replicates=1)],
    )
    page = tracks.page_of_track(one, {0: records[0]}, sources)
    assert page.address == "tracks/some-1.html"
    told = re.sub(r"<[^>]+>", " ", page.text)
    assert re.search(r"poisson/two-body\s+3\s+2\s+1\s+0\s+1\b", told)
    assert f"sha256:{leaderboard([records[0]]).digest}" in told
    assert tables.title(leaderboard([records[0]]).groups[0]) in told
    assert "d = 50" not in told
    assert tracks.OWED in tracks.page_of_track(one, {}, sources).text


def test_a_site_about_some_problems_has_no_tracks(sources):
    assert list(tracks.pages(sources)) == []
