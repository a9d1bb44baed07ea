"""The notebook runs from its first cell to its last, as a reader runs it, and what it says comes out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parent.parent / "examples" / "first_steps.ipynb"


@pytest.fixture(scope="module")
def cells() -> list[dict]:
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def test_it_is_kept_without_outputs(cells):
    """What a reader sees is what their machine computes, and a change of the text is a small difference."""
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_its_links_lead_somewhere(cells):
    import re

    text = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    targets = re.findall(r"\]\(([^)#]+)", text)
    assert targets
    assert [t for t in targets if not (NOTEBOOK.parent / t).exists()] == []


def test_it_runs_and_shows_what_it_says(cells, capsys):
    scope: dict = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            source = (
                "".join(cell["source"])
                .replace("STEPS = 300", "STEPS = 60")
                .replace("steps=2_000", "steps=300")
            )
            exec(compile(source, str(NOTEBOOK), "exec"), scope)
    assert scope["nulls"]["affine"] < 0.02 < scope["nulls"]["constant"]
    errors = {name: result.errors["relative_l2"] for name, result in scope["results"].items()}
    assert errors["poisson/sin-three-body"] > 0.9  # nothing is learnt in so few steps
    assert scope["average"].errors["relative_l2"] < 0.2 < errors["poisson/sin-three-body"]
    assert scope["report"].ok
    assert "screened" not in capsys.readouterr().err
