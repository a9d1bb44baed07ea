"""Reads the matrix of a sweep, a TOML file that names problems, dimensions, solvers and seeds, and expands it into cells."""

from __future__ import annotations

import codecs
import itertools
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.records.errors import UserError
from benchmarks.records.protocol import MAX_COUNT, Protocol, protocol
from benchmarks.records.text import clip
from benchmarks.terminal.parsing import dimension, duration, require_known, seeds, size, whole

MAX_CELLS = 100_000
MAX_MATRIX_BYTES = 200_000
_READ: dict[str, Callable[[Any], Any]] = {
    **{key: partial(whole, what=key, low=1, high=MAX_COUNT) for key in ("steps", "batch", "test_size")},
    "wall_limit": duration,
    "memory_limit": size,
    "seconds": duration,
    "nominal_seconds": duration,
    "levels": lambda value: tuple(value) if isinstance(value, list) else value,
}
"""Maps settings of a protocol to the functions that read them; numbers, times and sizes are written as on the command line."""


@dataclass(frozen=True)
class Request:
    """A cell as it was asked for, by names: whether such a problem and solver can be made is not yet known.

    `instance` is the seed of the problem's coefficients, and `seed` the training seed.
    """

    problem: str
    dim: int
    instance: int
    solver: str
    hyperparameters: tuple[tuple[str, Any], ...]
    protocol: Protocol
    seed: int

    def under(self, **changes: Any) -> Request:
        """Returns this request with some fields of its protocol changed."""
        return replace(self, protocol=self.protocol.but(**changes))


Texts = Annotated[list[Annotated[str, Field(max_length=200)]], Field(min_length=1, max_length=1_000)]


class Matrix(BaseModel):
    """The content of a matrix file. Numbers are checked by `benchmarks.terminal.parsing`, as on the command line.

    Measurements are repeated by `replicates`, instance k of the problem with training seed k, or by every one of `seeds` on every
    one of `instances`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pdes: Texts
    dims: Annotated[list[Any], Field(min_length=1, max_length=1_000)]
    solvers: Annotated[list[str | dict[str, Any]], Field(min_length=1, max_length=1_000)]
    replicates: Any = None
    seeds: Any = None
    instances: Any = None
    protocol: str | dict[str, Any] = "quick"


def load(path: Path) -> Matrix:
    """Reads a matrix file. Raises UserError if it cannot be read or is not a matrix."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_MATRIX_BYTES + 1)
    except OSError as error:
        raise UserError(f"the matrix {path} cannot be read ({error.strerror or error})") from None
    if len(content) > MAX_MATRIX_BYTES:
        raise UserError(f"a matrix has at most {MAX_MATRIX_BYTES:,} bytes; {path} has more")
    return parse(content, str(path))


def parse(content: bytes, where: str = "the matrix") -> Matrix:
    """Reads a matrix from TOML; `where` names it in messages. Raises UserError if `content` is not a matrix."""
    try:
        return Matrix.model_validate(tomllib.loads(_text(content)))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        key = ".".join(clip(str(part), 40) for part in first["loc"])
        raise UserError(f"{where}: {key}: {first['msg']}; docs/harness.md shows a matrix") from None
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, or nested beyond reason
        raise UserError(f"{where} is not TOML: {clip(str(error), 200)}") from None


def _text(content: bytes) -> str:
    """Decodes UTF-8, with or without the byte-order mark of Windows' editors. Raises ValueError for any other encoding."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("it is written in UTF-16; save it as UTF-8")
    return content.decode("utf-8-sig")


def expand(
    matrix: Matrix,
    pdes: Sequence[str],
    solvers: Sequence[str],
    families: Mapping[str, str] = MappingProxyType({}),
    broken_pdes: Sequence[str] = (),
    broken_solvers: Sequence[str] = (),
) -> list[Request]:
    """Returns every cell that a matrix asks for; the problem changes slowest and the training seed fastest. Of replicates, the
    first of all solvers comes before the second.

    `pdes` and `solvers` are the known names; `families` maps the bare name of each family to the problem that it stands for.
    Patterns that match a broken plug-in give cells too, which become rows with the reason; the variants of a broken family
    are not known, so its bare name stands for them. Raises UserError for an unknown name, a bad number, and more than
    MAX_CELLS cells.
    """
    asked = [families.get(pattern, pattern) for pattern in matrix.pdes]
    problems = _matching("problem", asked, list(pdes), list(broken_pdes))
    dims = list(dict.fromkeys(dimension(d) for d in matrix.dims))
    rows = [row for spec in matrix.solvers for row in _rows(spec, list(solvers), list(broken_solvers))]
    used = protocol_of(matrix.protocol)
    repeated = repetitions(matrix.replicates, matrix.seeds, matrix.instances)
    count = len(problems) * len(dims) * len(rows) * sum(len(trained) for _, trained in repeated)
    if count > MAX_CELLS:
        raise UserError(f"a matrix has at most {MAX_CELLS:,} cells, this one has {count:,}")
    cells = itertools.product(problems, dims, repeated, rows)
    return unique(
        Request(p, d, instance, name, given, used, seed)
        for p, d, (instance, trained), (name, given) in cells
        for seed in trained
    )


def repetitions(
    replicates: Any = None, training_seeds: Any = None, instances: Any = None
) -> list[tuple[int, list[int]]]:
    """Returns the instance seeds of a problem, each with the training seeds that are measured on it.

    `replicates` pairs them, instance k with training seed k; else each of `training_seeds`, by default 0, is measured on each of
    `instances`, by default 0. Raises UserError for a bad number, and for replicates beside one of the others.
    """
    if replicates is None:
        trained = seeds(1 if training_seeds is None else training_seeds)
        return [(instance, trained) for instance in seeds(1 if instances is None else instances)]
    if training_seeds is not None or instances is not None:
        raise UserError(
            "replicates are instances with training seeds of the same number: replicates = 5 stands for 0 to 4 of both; "
            "leave seeds and instances out"
        )
    return [(k, [k]) for k in seeds(replicates, "replicates")]


def unique(requests: Iterable[Request]) -> list[Request]:
    """Returns the requests without repetitions. They are compared by their text, since lists among the hyperparameters cannot be
    hashed.
    """
    return list({repr(request): request for request in requests}.values())


def protocol_of(given: str | dict[str, Any]) -> Protocol:
    """Returns the protocol of that name, or the one that a table such as `{base = "paper", steps = 500, wall_limit = "10m"}`
    describes. Raises UserError for an unknown name or setting, and for a bad value.
    """
    if isinstance(given, str):
        return protocol(given)
    changes = {k: v for k, v in given.items() if k != "base"}
    known = [field for field in Protocol.__dataclass_fields__ if field != "name"]
    for key, value in changes.items():
        require_known("protocol setting", key, known)
        changes[key] = _READ[key](value) if key in _READ else value
    if "nominal_seconds" in changes:  # they stand in the place of the seconds of the base
        changes.setdefault("seconds", None)
    return protocol(str(given.get("base", "paper"))).but(**changes)


def _matching(kind: str, patterns: Iterable[str], known: list[str], broken: list[str]) -> list[str]:
    """Returns the names that match, known and broken ones. Raises UserError for a pattern that matches none."""
    chosen: dict[str, None] = {}
    for pattern in patterns:
        meant = [name for name in broken if fnmatchcase(name, pattern.partition("/")[0])]
        if any(mark in pattern for mark in "*?["):
            matches = [name for name in known if fnmatchcase(name, pattern)] + meant
            if not matches:
                raise UserError(f"no {kind} matches {clip(pattern, 60)!r}; `pdezoo list` shows {len(known)}")
            chosen |= dict.fromkeys(matches)
        elif meant and pattern not in known:
            chosen |= dict.fromkeys(meant)
        else:
            chosen[require_known(kind, pattern, [*known, *broken])] = None
    return list(chosen)


def _rows(
    spec: str | dict[str, Any], known: list[str], broken: list[str]
) -> list[tuple[str, tuple[tuple[str, Any], ...]]]:
    """Returns the solvers that one entry of a matrix asks for, with their hyperparameters: one for each combination of the items of
    hyperparameters that are given as lists.
    """
    if isinstance(spec, str):
        return [(name, ()) for name in _matching("solver", [spec], known, broken)]
    if not isinstance(spec.get("name"), str):
        example = '{name = "stde", samples = [8, 16]}'
        raise UserError(f"a solver is a name or a table such as {example}, got {clip(str(spec), 80)}")
    given = {k: v if isinstance(v, list) else [v] for k, v in spec.items() if k != "name"}
    if any(not values for values in given.values()):
        raise UserError(f"an empty list gives no solver: {clip(str(spec), 80)}")
    choices = itertools.islice(itertools.product(*given.values()), MAX_CELLS + 1)
    combinations = [tuple(zip(given, values, strict=True)) for values in choices]
    return [(name, c) for name in _matching("solver", [spec["name"]], known, broken) for c in combinations]
