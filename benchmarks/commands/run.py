"""`pdezoo run`: turns the arguments of the command line into the cells of one problem and one solver."""

from __future__ import annotations

from benchmarks.planning import matrix
from benchmarks.planning.matrix import Request, unique
from benchmarks.planning.subjects import broken, families, keep_off_accelerators, make, names, subjects
from benchmarks.records.errors import UserError
from benchmarks.records.protocol import MAX_COUNT, Protocol, protocol
from benchmarks.terminal.parsing import (
    dimensions,
    duration,
    hyperparameter,
    require_known,
    size,
    whole,
)


def adjusted(name: str, **options: str | None) -> Protocol:
    """Returns the protocol called `name`, changed by the options that are given, as text. Raises UserError for a bad value."""
    read = {
        "steps": lambda text: whole(text, "the number of steps", 1, MAX_COUNT),
        "batch": lambda text: whole(text, "the batch", 1, MAX_COUNT),
        "wall_limit": duration,
        "memory_limit": size,
    }
    return protocol(name).but(**{key: read[key](text) for key, text in options.items() if text is not None})


def requests(
    pde: str,
    solver: str,
    dim: str | None,
    repeated: list[tuple[int, list[int]]],
    settings: list[str],
    used: Protocol,
) -> list[Request]:
    """Returns the cells of one problem and one solver, at `repeated` instance seeds, each with its training seeds.

    Raises UserError for an unknown name, a bad number or an impossible dimension.

    The bare name of a family stands for its first variant. A broken plug-in may be named too: its cells become rows with the
    reason.
    """
    (pdes, solvers), first, (no_pdes, no_solvers) = names(), families(), broken()
    pde = first.get(pde) or require_known("problem", pde, [*pdes, *first, *no_pdes])
    require_known("solver", solver, [*solvers, *no_solvers])
    given = tuple(hyperparameter(text) for text in settings)
    dims = dimensions(dim) if dim is not None else [_only_dimension(pde)]
    for d in dims:
        _require_dimension(pde, d)
    return unique(
        Request(pde, d, instance, solver, given, used, seed)
        for d in dims
        for instance, trained in repeated
        for seed in trained
    )


def repetitions(
    replicates: str | None, seed_text: str | None, instance: str | None
) -> list[tuple[int, list[int]]]:
    """Returns the instance seeds with their training seeds, as text from the command line asks for them.

    Raises UserError for a bad number, and for replicates beside one of the others.
    """
    own = None if instance is None else [whole(instance, "an instance seed", 0, 2**31 - 1)]
    return matrix.repetitions(replicates, seed_text, own)


def _require_dimension(pde: str, dim: int) -> None:
    """Raises UserError for a dimension that the problem cannot have. In a sweep that is a row of status "unsupported"."""
    keep_off_accelerators()
    lib = subjects()
    try:
        lib.make_pde(pde, dim=dim)
    except lib.bad_dimension as error:
        raise UserError(str(error)) from None
    except Exception:  # the contribution is broken: planning meets this again and makes the row
        return


def _only_dimension(pde: str) -> int:
    """Returns the only dimension of a problem. Raises UserError if it exists at several, or is broken."""
    keep_off_accelerators()
    return make(pde, None).dim
