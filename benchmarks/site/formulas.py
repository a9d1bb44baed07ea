"""Writes LaTeX as MathML, which browsers draw without a script."""

from __future__ import annotations

from benchmarks.leaderboard.markup import Html, tag
from benchmarks.records.errors import UserError

LONG = 700
"""A formula of more characters of LaTeX fills a screen; it is shown when it is asked for."""
LONGEST = 2_500
"""A formula of more characters than that is not shown; the page has the command that prints it."""


def mathml(latex: str) -> Html:
    """Returns a formula as MathML, in a box of its own that scrolls. Raises UserError where the converter is not installed."""
    try:
        from latex2mathml.converter import convert
    except ImportError:
        raise missing("latex2mathml") from None
    return tag("div", Html(convert(_plain(latex), display="block")), class_="formula")


def _plain(latex: str) -> str:
    """Returns LaTeX in which what is raised to a power is one thing: |x|², which the converter reads as x between two bars."""
    return latex.replace("u* =", "u^{*} =").replace("|x|", r"{\left|x\right|}")


def missing(package: str) -> UserError:
    """Returns the error for a package that only the site needs."""
    return UserError(f"the site needs {package}, which is not installed; pip install 'pdezoo[site]'")
