"""`pdezoo check`: holds contributions to their contract. Every failure says what was expected, what was seen and what to try."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.planning.subjects import catalogues, require_device
from benchmarks.terminal.parsing import dimension, names_it, require_known

_MARKS = {True: "ok  ", False: "FAIL", None: "–   "}
_AUDIT_POINTS = 2_000
_LONGEST_SUMMARY = 100  # with the names before it, a line of `pdezoo list` then fits into 130 columns


@dataclass(frozen=True)
class Chosen:
    """A contribution to check. `kind` is "pde" or "solver", `origin` the package that registers it, and `error` the reason why
    it cannot be imported, if it cannot.
    """

    kind: str
    name: str
    origin: str
    error: str | None = None


def check(patterns: list[str], dim: str, as_json: bool) -> int:
    """Checks every contribution whose name matches one of `patterns` and prints the findings; problems are audited at `dim`.

    Returns the exit status: 1 if a contribution fails. Raises UserError for a pattern that matches nothing.
    """
    size = dimension(dim)
    chosen = _chosen(patterns or ["*"])
    require_device()
    reports = []
    for contribution in chosen:
        print(f"checking {contribution.name} …", file=sys.stderr, flush=True)
        reports.append(_report(contribution, size))
        if not as_json:
            _print(reports[-1])
    if as_json:
        from benchmarks.terminal.output import print_json

        print_json(reports)
    else:
        _conclude(reports)
    return 0 if all(report["ok"] for report in reports) else 1


def _chosen(patterns: list[str]) -> list[Chosen]:
    known = [
        c for kind, entries in zip(("pde", "solver"), catalogues(), strict=True) for c in _all(kind, entries)
    ]
    chosen: dict[Chosen, None] = {}
    for pattern in patterns:
        matches = [c for c in known if names_it(pattern, c.name)]
        if not matches:
            require_known("problem or solver", pattern, sorted({c.name for c in known}))
        chosen |= dict.fromkeys(matches)
    return list(chosen)


def _all(kind: str, entries: dict[str, Any]) -> Iterator[Chosen]:
    for key, entry in entries.items():
        for name in [key] if entry.error else entry.full_names():
            yield Chosen(kind, name, entry.origin, entry.error)


def _report(contribution: Chosen, dim: int) -> dict[str, Any]:
    audit: dict[str, Any] = {}
    if contribution.error is not None:
        findings = [_broken(contribution)]
    elif contribution.kind == "solver":
        import solvers

        findings = [asdict(f) for f in solvers.check(contribution.name)]
    else:
        subject = _Problem(contribution.name, dim)
        findings, audit = [asdict(f) for f in subject.findings()], subject.audit
    ok = all(finding["ok"] is not False for finding in findings)
    about = {"name": contribution.name, "kind": contribution.kind, "origin": contribution.origin}
    return about | {"ok": ok, "findings": findings, "audit": audit}


def _broken(contribution: Chosen) -> dict[str, Any]:
    return {
        "name": "imports",
        "ok": False,
        "expected": "the plug-in can be imported and registers the name it announces, which is free",
        "seen": contribution.error,
        "advice": "import the module that the entry point names, and compare the two names",
    }


@dataclass
class _Problem:
    """A problem under test, to be made at dimension `dim`, and the report of its verification once that has run."""

    name: str
    dim: int
    report: Any = None

    def findings(self) -> Iterator[Any]:
        """Yields the findings of the contract's clauses, with the checks of the verification in their midst."""
        import solvers

        before, after = _clauses()
        yield from (first := list(solvers.findings(self, before)))
        if first[0].ok:
            yield from (_explained(c, self.report.caveat) for c in self.report.checks) if self.report else ()
            yield from solvers.findings(self, after)

    def make(self, dim: int | None = None, seed: int = 0) -> Any:
        """Makes the problem at `dim`, by default at the dimension asked for, or else at the only one that it has."""
        import pdezoo

        try:
            return pdezoo.make(self.name, dim=dim or self.dim, seed=seed)
        except pdezoo.BadDimension:
            if dim is not None:
                raise
            return pdezoo.make(self.name, seed=seed)

    @property
    def audit(self) -> dict[str, Any]:
        """The audit of the verification; empty if that has not run to its end."""
        return self.report.audit if self.report else {}


def _clauses() -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Returns the clauses of a problem's contract: those up to the verification, and those after it."""
    from solvers import Clause

    before = (
        Clause(
            "made",
            f"make(name, dim) gives a PDE, and the docstring's first line, of at most {_LONGEST_SUMMARY} characters, says which",
            "return a PDE, with the equation in the first line of the function's docstring and what does not fit below it",
            _made,
        ),
        Clause(
            "instance",
            "the same seed gives the same fingerprint; another seed another one, where the function takes a seed",
            "take all random coefficients from Coefficients(seed), or leave the argument out",
            _instance,
        ),
        Clause(
            "proof",
            "verify runs to its end, and finds what the problem declares",
            "evaluate the solution and the ansatz at a few points by hand; `pdezoo verify` with PDEZOO_TRACEBACK=1 shows where",
            _proof,
        ),
    )
    after = (
        Clause(
            "memory",
            "residual and source need at most 8.8 times the bytes at 8 times the dimension",
            "build the solution of window sums, |x|², d and t: their derivatives cost O(d)",
            _memory,
        ),
        Clause(
            "solvable",
            "at least one registered solver that does not see the solution supports it",
            "`pdezoo run` with a solver gives its reason; usually an atom of the operator that no estimator gives",
            _solvable,
        ),
    )
    return before, after


def _made(problem: _Problem) -> str:
    import pdezoo
    from solvers import Violation

    pde = problem.make()
    if not isinstance(pde, pdezoo.PDE):
        raise Violation(f"the registered function returned a {type(pde).__name__}")
    summary = catalogues()[0][problem.name.partition("/")[0]].summary
    if not summary:
        raise Violation("the function has no docstring")
    if len(summary) > _LONGEST_SUMMARY:
        raise Violation(f"the docstring's first line has {len(summary)} characters: {summary[:60]!r}…")
    return f"{pde.name}, d = {pde.dim:,}"


def _instance(problem: _Problem) -> str:
    from solvers import NotApplicable, Violation

    one, again, other = (problem.make(seed=seed).fingerprint for seed in (0, 0, 1))
    if one != again:
        raise Violation(f"made twice, its fingerprint is {one[:12]}… and {again[:12]}…")
    if one == other:
        raise NotApplicable("its coefficients do not depend on a seed")
    return f"{one[:12]}… from seed 0"


def _proof(problem: _Problem) -> str:
    import pdezoo
    from solvers import Violation

    problem.report = pdezoo.verify(problem.make(), test_size=_AUDIT_POINTS)
    if problem.report.caveat and not problem.report.ok and all(c.ok for c in problem.report.checks):
        raise Violation("a caveat says that the solution does not solve the equation, but it does")
    return f"{len(problem.report.checks)} checks"


def _memory(problem: _Problem) -> str:
    import pdezoo
    from solvers import FEW_AND_MANY, NotApplicable, require_linear

    try:
        small, large = (_source_bytes(problem.make(dim)) for dim in FEW_AND_MANY)
    except pdezoo.BadDimension:
        raise NotApplicable("it has few dimensions only") from None
    return require_linear(small, large)


def _source_bytes(pde: Any) -> int:
    """Returns the bytes that the compiler plans for evaluating the source at eight points."""
    import jax

    problem = pde.lower()
    points = jax.eval_shape(lambda: problem.sample(jax.random.key(0), 8))
    plan: Any = (
        jax.jit(lambda lowered, p: lowered.source(p)).lower(problem, points).compile().memory_analysis()
    )
    return plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes


def _solvable(problem: _Problem) -> str:
    import solvers
    from solvers import Violation

    pde = problem.make()
    reasons = {name: _refusal(name, pde) for name in solvers.names()}
    able = [name for name, reason in reasons.items() if reason is None]
    refusals = [reason for reason in reasons.values() if reason]
    if not able:
        raise Violation(f"none of {len(refusals)} does; the first says: {refusals[0] if refusals else ''}")
    return f"{len(able)} of {len(able) + len(refusals)}: {', '.join(able)}"


def _refusal(name: str, pde: Any) -> str | None:
    """Returns why a solver cannot solve the problem, None if it can, and "" if it does not count: it sees the solution, or is
    broken itself.
    """
    import solvers

    try:
        solver = solvers.make(name)
        return "" if solver.sees_solution else solver.unsupported(pde)
    except (Exception, SystemExit):  # another contribution is at fault
        return ""


def _explained(check: Any, caveat: str) -> Any:
    """Returns a check of the verification as a finding. Where a caveat says that the published solution does not solve the
    equation, a residual that does not vanish is as expected, and no failure.
    """
    from solvers import Finding

    if caveat and check.name in ("residual", "source") and not check.ok:
        return Finding(check.name, None, check.expected, f"{check.seen}. Kept as published: {caveat}")
    return Finding(check.name, check.ok, check.expected, check.seen, "" if check.ok else check.advice)


def _print(report: dict[str, Any]) -> None:
    origin = "" if report["origin"] == "pdezoo" else f"  [{report['origin']}]"
    print(f"{_MARKS[report['ok']]} {report['kind']} {report['name']}{origin}")
    for finding in report["findings"]:
        print(f"  {_MARKS[finding['ok']]} {finding['name']}: {finding['seen']}")
        if finding["ok"] is False:
            print(f"         expected: {finding['expected']}\n         try: {finding['advice']}")
    for key, value in report["audit"].items():
        print(f"  audit {key}: {value}")


def _conclude(reports: list[dict[str, Any]]) -> None:
    failed = [report["name"] for report in reports if not report["ok"]]
    print(f"{len(reports)} checked, {len(failed)} failed{': ' if failed else ''}{', '.join(failed)}")
