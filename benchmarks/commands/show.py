"""`pdezoo list` and `pdezoo show`: print what is registered, and one problem or solver in full."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from typing import Any

from benchmarks.planning.subjects import catalogues, make, names, require_device, subjects
from benchmarks.records.errors import UserError
from benchmarks.records.fields import NAME_RULE, is_name
from benchmarks.site.usual import at_its_usual
from benchmarks.terminal.output import print_json
from benchmarks.terminal.parsing import dimension, require_known

_KINDS = ("all", "pdes", "solvers")
_AUDIT_POINTS = 2_000


def show_list(kind: str, as_json: bool) -> None:
    """Prints the catalogue of problems ("pdes"), of solvers ("solvers") or both ("all"). A broken plug-in is listed with its error.

    Raises UserError for any other `kind`.
    """
    if kind not in _KINDS:
        raise UserError(f"expected one of {', '.join(_KINDS)}, got {kind[:40]!r}")
    pdes, solvers = catalogues()
    chosen = {"pdes": pdes, "solvers": solvers}
    chosen = chosen if kind == "all" else {kind: chosen[kind]}
    if as_json:
        print_json({key: [asdict(entry) for entry in entries.values()] for key, entries in chosen.items()})
        return
    for key, entries in chosen.items():
        print(f"{key}:")
        for entry in entries.values():
            origin = f"  [{entry.origin}]" if entry.origin != "pdezoo" else ""
            print(f"  {entry.name:<28}{'BROKEN: ' + entry.error if entry.error else entry.summary}{origin}")
            for name in entry.full_names() if entry.variants else ():
                broken = (
                    "" if is_name(name) else f"{'':<4}BROKEN: a record cannot hold that name; {NAME_RULE}"
                )
                print(f"    {name}{broken}")


def show(name: str, dim: str | None, latex: bool, as_json: bool) -> None:
    """Prints all that is known of one problem, at dimension `dim` or its usual one, or of one solver.

    Raises UserError for an unknown name or a dimension that the problem cannot have.
    """
    pdes, solvers = names()
    families = {n.partition("/")[0] for n in pdes}
    require_known("problem or solver", name, [*pdes, *families, *solvers])
    described = _solver(name) if name in solvers else _problem(name, dim, latex)
    if as_json:
        print_json(described)
        return
    for key, value in described.items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
        print(f"{key:<16}{shown}")


def _problem(name: str, dim: str | None, latex: bool) -> dict[str, Any]:
    import pdezoo

    require_device()
    pde = at_its_usual(name) if dim is None else make(name, dimension(dim))
    audit = pdezoo.audit(pdezoo.TestSet(pde, _AUDIT_POINTS))
    return {
        "name": pde.name,
        "dim": pde.dim,
        "instance": pde.seed,
        "summary": catalogues()[0][pde.name.partition("/")[0]].summary,
        **pdezoo.describe(pde, latex),
        "references": ", ".join(_citations(pde.name.partition("/")[0])) or "none recorded",
        "null errors": {null: f"{error:.3g}" for null, error in audit["null_errors"].items()},
        "baselines": f"{', '.join(pde.baseline_names)}: they use no solution, the other null predictors do",
        "degenerate": "yes: an affine function solves it for practical purposes"
        if audit["degenerate"]
        else "no",
        "leak": "yes: the ansatz alone is the solution" if audit["leak"] else "no",
        "caveat": pde.caveat or "none",
        "fingerprint": pde.fingerprint,
    }


def _citations(family: str) -> list[str]:
    """Returns the titles and years of the papers about a family of problems."""
    from benchmarks.leaderboard.bibliography import titles

    return titles(family)


def _solver(name: str) -> dict[str, Any]:
    solver = subjects().make_solver(name)
    words = inspect.cleandoc(catalogues()[1][name].summary)
    return {"name": solver.name, "summary": words, "hyperparameters": solver.hyperparameters()}
