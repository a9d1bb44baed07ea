"""`pdezoo check`: what is right passes, what is wrong is explained, and a mistake of the caller's is exit status 2."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from test_cli import call
from toys import few

import pdezoo
from benchmarks.commands import check
from pdezoo import PDE, Ball, Exact, Laplacian, X, r2, u, window_sum
from solvers import Finding


def toy(dim: int, **changes: Any) -> PDE:
    """Δu + u² = g on the unit ball, u* = (1 − |x|²) Σ x_p x_{p+1}."""
    ball = Ball(dim)
    target = ball.vanishing().factor * window_sum(X[0] * X[1])
    made = PDE(Laplacian(u) + u**2, ball, ball.vanishing(), Exact(target), name="planted")
    return replace(made, **changes)


@pytest.fixture
def plant():
    """Registers a function as the problem "planted", for the length of one test."""

    def register(factory: Any) -> None:
        pdezoo.register("planted")(factory)
        entry = pdezoo.Entry("planted", (factory.__doc__ or "").strip())
        patch.setattr(check, "catalogues", lambda: ({"planted": entry}, {}))
        patch.setattr(pdezoo._registry, "catalogue", lambda: {"planted": entry})

    with pytest.MonkeyPatch.context() as patch:
        yield register
    pdezoo._registry._factories.pop("planted", None)
    pdezoo._registry._registered.pop("planted", None)


def failed(name: str = "planted") -> dict[str, Finding]:
    """The findings that are failures, by clause."""
    findings = check._Problem(name, 10).findings()
    return {f.name: f for f in findings if f.ok is False}


@pytest.mark.slow
def test_a_sound_problem_passes(plant):
    def planted(dim: int):
        """Δu + u² = g."""
        return toy(dim)

    plant(planted)
    assert failed() == {}


def wrong_source(dim: int):
    """Δu + u² = g, and g mistyped."""
    return toy(dim, source=-2 * r2)


def wrong_radius(dim: int):
    """Δu + u² = g, with the factor of another ball."""
    return toy(dim, ansatz=Ball(dim, 2).vanishing())


def undocumented(dim: int):
    return toy(dim)


def documented_at_length(dim: int):
    """Δu + u² = g on the unit ball, with u = 0 on the sphere, which is a sentence that goes on for longer than a line is."""
    return toy(dim)


def raises(dim: int):
    """Cannot be made."""
    raise ZeroDivisionError("in here")


def needlessly_warned(dim: int):
    """Declares a caveat that is none."""
    return toy(dim, caveat="the authors' source is wrong")


DEFECTS = {
    undocumented: {"made"},
    documented_at_length: {"made"},
    raises: {"made"},
    wrong_radius: {"condition"},
    wrong_source: {"residual", "source"},
    needlessly_warned: {"proof"},
}


@pytest.mark.parametrize("factory", few(DEFECTS, keep=4), ids=lambda f: f.__name__)
def test_a_planted_defect_is_found_and_explained(factory, plant):
    plant(factory)
    failures = failed()
    assert set(failures) == DEFECTS[factory]
    assert all(f.expected and f.seen and f.advice for f in failures.values())


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("poisson/two-body", marks=pytest.mark.slow),
        "semilinear-heat/hard",
        "semilinear-allen-cahn/soft",
    ],
)
def test_every_check_of_the_proof_brings_its_own_advice(name):
    """The proofs are by an expression, by a formula, and by a value at one point; all have advice, and the report carries it."""
    report = pdezoo.verify(pdezoo.make(name, dim=10), test_size=20)
    assert all(c.expected and c.advice and c.seen for c in report.checks)
    assert {"name", "ok", "method", "value", "detail", "expected", "advice"} <= set(
        report.json()["checks"][0]
    )
    explained = [check._explained(replace(c, ok=False), "") for c in report.checks]
    assert [(f.expected, f.advice) for f in explained] == [(c.expected, c.advice) for c in report.checks]


def test_a_problem_that_is_kept_as_published_is_not_failed():
    residual = pdezoo.Check("residual", False, "method", 1.0, expected="zero", advice="look")
    published = check._explained(residual, "wrong in print")
    assert (published.ok, published.expected, published.advice) == (None, "zero", "")
    assert "wrong in print" in published.seen
    failed = check._explained(residual, "")
    assert (failed.ok, failed.advice) == (False, "look")


def test_the_words_of_a_failure(capsys):
    finding = {
        "name": "learns",
        "ok": False,
        "expected": "it falls",
        "seen": "it rises",
        "advice": "turn round",
    }
    check._print(
        {"ok": False, "kind": "solver", "name": "a", "origin": "me", "findings": [finding], "audit": {}}
    )
    out = capsys.readouterr().out
    for words in ("FAIL", "[me]", "it falls", "it rises", "turn round"):
        assert words in out


@pytest.mark.parametrize("name", ["stdee", "poisson/two-bodies", "\x00"])
def test_an_unknown_name_is_exit_status_two(name):
    code, out, err = call("check", name)
    assert (code, out) == (2, "")
    assert "called" in err


def every_problem() -> list[Any]:
    """Returns every registered name as a parameter, all but one marked `slow`; their proofs are in tests/pdezoo."""
    return [
        pytest.param(name, marks=[] if name == "poisson/two-body" else [pytest.mark.slow])
        for name in pdezoo.names()
    ]


@pytest.mark.parametrize("name", every_problem())
def test_every_registered_problem_keeps_the_rest_of_its_contract(name):
    before, after = check._clauses()
    subject = check._Problem(name, 100)
    findings = [clause.finding(subject) for clause in (*before, *after) if clause.name != "proof"]
    assert [f for f in findings if f.ok is False] == []
    assert len(findings) == 4
