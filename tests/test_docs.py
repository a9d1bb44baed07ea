"""Every page can be found from the index, and every link between pages leads somewhere."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from toys import few

import pdezoo
import solvers
from solvers import contract

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


def blocks(page: str) -> list[str]:
    """The Python examples of a page."""
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def example(monkeypatch):
    """An empty module in which examples are run, one after the other."""
    module = types.ModuleType("example_of_the_docs")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return lambda code: exec(compile(code, module.__name__, "exec"), vars(module))


@pytest.fixture
def new_solvers():
    """The names that the test registers, taken back at its end."""
    registry = solvers._registry
    tables = (registry._factories, registry._registered)
    before = set(registry._registered)
    yield lambda: sorted(set(registry._registered) - before)
    for name in set(registry._registered) - before:
        for table in tables:
            table.pop(name, None)


def test_the_examples_for_jax_users_run(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = blocks("jax-users.md")
    assert len(found) == 6
    for code in found:
        example(code)


def test_the_examples_of_coefficients_and_conditions_run(example, capsys):
    """The first verifies its own problem, the second describes its conditions, the third makes a solver for such."""
    asked = ("DivGrad", "plate", "PeriodicFeatures")
    found = [code for code in blocks("adding-a-pde.md") if any(word in code for word in asked)]
    assert len(found) == 3
    for code in found:
        example(code)
    assert capsys.readouterr().out.startswith(
        "∂u/∂n = 0 on the lower face of axis 0 (weight 1); u + 2 ∂u/∂n ="
    )


SOLVERS = ["stde-neighbours", "stde-signs", "exact-gauss-newton", "best-constant"]


@pytest.mark.parametrize("number", few(range(len(SOLVERS))), ids=SOLVERS)
def test_a_solver_of_the_guide_keeps_its_contract(number, example, new_solvers):
    found = blocks("adding-a-solver.md")
    assert len(found) == len(SOLVERS)
    example(found[number])
    assert new_solvers() == [SOLVERS[number]]
    asked = ("made", "hyperparameters", "shapes", "coordinates", "learns")
    candidate = contract.Candidate(SOLVERS[number])
    findings = [clause.finding(candidate) for clause in contract.CLAUSES if clause.name in asked]
    assert [finding for finding in findings if finding.ok is False] == []
    pde = pdezoo.make("poisson/two-body", dim=4)
    assert candidate.small.fit(pde, steps=3, batch=8, progress=None).status == "ok"


def multi_host_script() -> str:
    """The script in docs/clusters.md, which JAX cannot tell on its own that it runs twice on one machine."""
    (code,) = re.findall(
        r"```python\n(import jax\n.*?)```", (ROOT / "docs" / "clusters.md").read_text(), re.DOTALL
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    assert "jax.distributed.initialize()" in code
    told = f"jax.distributed.initialize({address!r}, 2, int(__import__('sys').argv[1]))"
    return code.replace("jax.distributed.initialize()", told)


def two_batches_in_one_process() -> float:
    """The last loss of what the script computes, written without meshes."""
    pde, solver, steps = pdezoo.make("poisson/two-body", dim=100), solvers.make("stde"), 200
    problem = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), pde.lower())

    @jax.jit
    def step(state):
        def loss(params, key):
            values = [solver.evaluate(problem, params, k, 100, state.progress) for k in jax.random.split(key)]
            return (values[0] + values[1]) / 2

        key = jax.random.fold_in(state.key, state.step)
        objective = solvers.Objective(loss, state.progress)
        params, trainer, value = solver.trainer.step(objective, state.params, state.trainer, key)
        return state._replace(params=params, trainer=trainer, step=state.step + 1, loss=value)

    state = solver.init(problem, 0, steps)
    for _ in range(steps):
        state = step(state)
    return float(state.loss)


@pytest.mark.slow
def test_two_processes_train_as_one_does(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(multi_host_script())
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "JAX_PLATFORMS": "cpu"}
    started = [
        subprocess.Popen(
            [sys.executable, script, str(k)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for k in range(2)
    ]
    try:
        said = [process.communicate(timeout=300)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], said
    processes, devices, loss = said[0].splitlines()[-1].split()
    assert (processes, devices) == ("2", "2")
    assert float(loss) == pytest.approx(two_batches_in_one_process(), rel=1e-4)
