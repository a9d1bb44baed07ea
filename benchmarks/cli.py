"""The command line of `pdezoo`. A command imports what it needs when it runs, so that `--help` and `list` are instant.

Exit status: 0 all is well, 1 a cell failed or a check did not hold, 2 bad usage. What a program may read goes
to standard output, progress and messages to standard error.
"""

from __future__ import annotations

import importlib.util
import io
import os
import re
import signal
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from benchmarks.records.errors import UserError

app = typer.Typer(
    name="pdezoo",
    help="Which solver should I use for this PDE at this dimension, and what does it cost?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

StoreOption = Annotated[
    Path, typer.Option("--store", envvar="PDEZOO_STORE", help="Folder of records.", show_default=True)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON for programs.")]
Workers = Annotated[str, typer.Option(help="Cells measured at once, each on its share of cores or GPUs.")]
Redo = Annotated[str | None, typer.Option(help="Measure again: failed, or all. Default: resume.")]
Exclusive = Annotated[
    bool,
    typer.Option("--exclusive", help="One cell at a time, and no other on this machine: to measure speed."),
]
Cluster = Annotated[
    str | None, typer.Option(help="Address of a Dask scheduler; docs/clusters.md describes it.")
]
ClusterWorkers = Annotated[
    str | None, typer.Option(help="Cells measured at once; default: 1, or the cluster's threads.")
]
Budget = Annotated[str | None, typer.Option(help="Stop after this time, such as 50m; run again to go on.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the cells and what they may take.")]
WallLimit = Annotated[str | None, typer.Option(help="Wall-clock limit of a cell, such as 90s or 10m.")]
MemoryLimit = Annotated[str | None, typer.Option(help="Memory limit of a cell, such as 40GB.")]
RESULTS = Path("results")


@app.command("list")
def list_(
    kind: Annotated[str, typer.Argument(help="pdes, solvers or all.")] = "all", json: JsonOption = False
) -> None:
    """List everything that is registered, plug-ins included."""
    from benchmarks.commands import show

    show.show_list(kind, json)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A problem or a solver.")],
    dim: Annotated[str | None, typer.Option(help="Dimension; default: the problem's own, or 100.")] = None,
    format: Annotated[str, typer.Option(help="text or latex.")] = "text",
    json: JsonOption = False,
) -> None:
    """Show one problem (equation, solution, measure, audit) or one solver (hyperparameters)."""
    from benchmarks.commands import show
    from benchmarks.records.errors import UserError

    if format not in ("text", "latex"):
        raise UserError(f"expected --format text or latex, got {format[:40]!r}")
    show.show(name, dim, format == "latex", json)


@app.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(help="Problems or families, globs allowed; default: all.")
    ] = None,
    dim: Annotated[str, typer.Option(help="Dimension of the audit.")] = "100",
    json: JsonOption = False,
) -> None:
    """Prove each problem: residual of the solution, source, boundary condition, samples; and audit it."""
    from benchmarks.commands import verify

    raise typer.Exit(verify.verify(names or ["*"], dim, json))


@app.command()
def check(
    names: Annotated[
        list[str] | None, typer.Argument(help="Problems, families or solvers, globs allowed; default: all.")
    ] = None,
    dim: Annotated[str, typer.Option(help="Dimension at which problems are audited.")] = "100",
    json: JsonOption = False,
) -> None:
    """Hold problems and solvers to their contract, and explain each failure. Exit 1 if one fails."""
    from benchmarks.commands import check

    raise typer.Exit(check.check(names or [], dim, json))


@app.command()
def new(
    kind: Annotated[str, typer.Argument(help="pde or solver.")],
    name: Annotated[str, typer.Argument(help="Its name, such as screened-poisson.")],
    package: Annotated[
        Path | None, typer.Option(help="Write a plug-in package into this new folder, not into the checkout.")
    ] = None,
) -> None:
    """Write a problem or a solver that works and passes `pdezoo check`, to begin from."""
    from benchmarks.commands import new

    new.new(kind, name, package)


@app.command()
def run(
    pde: Annotated[
        str, typer.Argument(help="A problem, such as allen-cahn/two-body, or a family for its first variant.")
    ],
    solver: Annotated[str, typer.Argument(help="A solver, such as stde.")],
    dim: Annotated[str | None, typer.Option(help="Dimensions, such as 1e5 or 100,1000.")] = None,
    replicates: Annotated[
        str | None,
        typer.Option(help="How many replicates, or which: instance k with training seed k. A rank needs 3."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="How many training seeds of one instance, or which: 5, or 3,7.")
    ] = None,
    steps: Annotated[str | None, typer.Option(help="Training steps; default: the protocol's.")] = None,
    batch: Annotated[str | None, typer.Option(help="Residual points a step.")] = None,
    protocol: Annotated[str, typer.Option(help="paper or quick.")] = "paper",
    instance: Annotated[
        str | None, typer.Option(help="Instance seed of the problem's coefficients; default: 0.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Hyperparameter, such as samples=32.")
    ] = None,
    wall_limit: WallLimit = None,
    memory_limit: MemoryLimit = None,
    workers: Workers = "1",
    exclusive: Exclusive = False,
    redo: Redo = None,
    store: StoreOption = RESULTS,
    json: JsonOption = False,
) -> None:
    """Measure one solver on one problem, every cell in a process of its own."""
    from benchmarks.commands import run, sweep

    used = run.adjusted(protocol, steps=steps, batch=batch, wall_limit=wall_limit, memory_limit=memory_limit)
    repeated = run.repetitions(replicates, seeds, instance)
    requests = run.requests(pde, solver, dim, repeated, set_ or [], used)
    raise typer.Exit(
        sweep.measure_all(requests, store, workers, redo, json, strict=True, exclusive=exclusive)
    )


@app.command()
def sweep(
    matrix: Annotated[Path, typer.Argument(help="A TOML file; docs/harness.md describes it.")],
    workers: ClusterWorkers = None,
    cluster: Cluster = None,
    exclusive: Exclusive = False,
    redo: Redo = None,
    dry_run: DryRun = False,
    wall_limit: WallLimit = None,
    memory_limit: MemoryLimit = None,
    store: StoreOption = RESULTS,
    json: JsonOption = False,
) -> None:
    """Measure every cell of a matrix that has no record yet."""
    from benchmarks.commands import sweep

    requests = sweep.matrix_requests(matrix, wall_limit, memory_limit)
    if dry_run:
        sweep.dry_run(requests, store, workers, redo, json)
    else:
        raise typer.Exit(
            sweep.measure_all(requests, store, workers, redo, json, cluster=cluster, exclusive=exclusive)
        )


@app.command()
def campaign(
    name: Annotated[str, typer.Argument(help="papers, or a folder of matrix files.")],
    budget: Budget = None,
    max_dim: Annotated[str | None, typer.Option(help="Leave larger dimensions out.")] = None,
    steps: Annotated[str | None, typer.Option(help="Training steps instead of the campaign's.")] = None,
    workers: Workers = "1",
    exclusive: Exclusive = False,
    redo: Redo = None,
    dry_run: DryRun = False,
    store: StoreOption = RESULTS,
    json: JsonOption = False,
) -> None:
    """Measure matrices in the order of their importance, as far as a time budget goes; resume by default."""
    from benchmarks.commands import sweep
    from benchmarks.planning import campaign as campaigns
    from benchmarks.records.protocol import MAX_COUNT
    from benchmarks.terminal.parsing import dimension, duration, whole

    cells = campaigns.requests(
        name,
        None if max_dim is None else dimension(max_dim),
        None if steps is None else whole(steps, "the number of steps", 1, MAX_COUNT),
    )
    if dry_run:
        sweep.dry_run(cells, store, workers, redo, json)
    else:
        until = None if budget is None else duration(budget)
        raise typer.Exit(
            sweep.measure_all(cells, store, workers, redo, json, budget=until, exclusive=exclusive)
        )


tracks = typer.Typer(
    help="Named, versioned sets of cells: list and show them, measure one, see how much of it is measured."
)
app.add_typer(tracks, name="track", no_args_is_help=True)
NameOfTrack = Annotated[
    str, typer.Argument(help="A track, such as zoo-1; zoo stands for its newest version.")
]


@tracks.command("list")
def list_tracks(store: StoreOption = RESULTS, json: JsonOption = False) -> None:
    """List the tracks, how much of each is measured, and how long the rest takes."""
    from benchmarks.commands import track

    track.show_list(store, json)


@tracks.command("show")
def show_track(
    name: NameOfTrack,
    check: Annotated[
        bool, typer.Option("--check", help="Make the cells: are they those that it was published with?")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show what a track is for, what it ranks and what it crosses. With --check, exit 1 if its cells have changed."""
    from benchmarks.commands import track

    raise typer.Exit(track.show(name, check, json))


@tracks.command("run")
def run_track(
    name: NameOfTrack,
    workers: ClusterWorkers = None,
    cluster: Cluster = None,
    exclusive: Exclusive = False,
    redo: Redo = None,
    budget: Budget = None,
    dry_run: DryRun = False,
    store: StoreOption = RESULTS,
    json: JsonOption = False,
) -> None:
    """Measure every cell of a track that has no record yet."""
    from benchmarks.commands import track

    raise typer.Exit(track.run(name, store, workers, redo, json, dry_run, cluster, budget, exclusive))


@tracks.command("pace")
def pace_of_track(
    name: NameOfTrack,
    budget: Budget = None,
    programs: Annotated[
        Path | None,
        typer.Option(help="Folder of compiled programs, kept so that another run need not compile."),
    ] = None,
    store: Annotated[Path, typer.Option(help="Folder of the records of speed.")] = RESULTS / "pace",
    workers: Annotated[
        str | None,
        typer.Option(help="Cells at a time, each on a core of its own; by default one, on the last core."),
    ] = None,
) -> None:
    """Measure how many steps the seconds of a track are worth, a core to each cell, and write its table of steps."""
    from benchmarks.commands import track

    raise typer.Exit(track.measure_pace(name, store, budget, programs, workers))


@tracks.command("status")
def status_of_track(name: NameOfTrack, store: StoreOption = RESULTS, json: JsonOption = False) -> None:
    """Show what of a track is measured, failed and owed, and the hash of its records."""
    from benchmarks.commands import track

    track.status(name, store, json)


@app.command()
def pages(
    files: Annotated[list[Path], typer.Argument(help="Markdown pages, such as docs/findings.md.")],
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 1 if a table differs.")
    ] = False,
    store: StoreOption = RESULTS,
) -> None:
    """Make the tables of pages from the records that a comment above each of them names."""
    from benchmarks.commands import pages

    raise typer.Exit(pages.pages(files, check, store))


@app.command()
def site(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder to make; a site that is there is replaced.")
    ] = Path("site"),
    pde: Annotated[str, typer.Option(help="Only these problems: a name, a glob or a family.")] = "*",
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Write the tables as Markdown beside the records instead.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="With --markdown: change nothing; exit 1 if a file differs.")
    ] = False,
    store: StoreOption = RESULTS,
) -> None:
    """Make a site of all tables, problems, solvers, guides and names, which needs no network."""
    from benchmarks.commands import site

    raise typer.Exit(site.site(output, pde, markdown, check, store))


@app.command()
def curves(
    problems: Annotated[
        list[str], typer.Argument(help="Problems, such as poisson/sin-three-body: a panel each.")
    ],
    solver: Annotated[list[str], typer.Option(help="Solvers: a line for each, and for each dimension.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The PNG to write.")],
    slope: Annotated[bool, typer.Option("--slope", help="Draw the line of 1/√steps too.")] = False,
    seconds: Annotated[
        bool,
        typer.Option(
            "--seconds", help="Against seconds of training: steps × the time of one, measured alone."
        ),
    ] = False,
    store: StoreOption = RESULTS,
) -> None:
    """Draw errors against steps, medians over replicates, from the histories of records."""
    from benchmarks.commands import curves

    raise typer.Exit(curves.curves(problems, solver, slope, seconds, output, store))


@app.command()
def replay(
    record: Annotated[str, typer.Argument(help="A record's file, or the beginning of its digest.")],
    store: StoreOption = RESULTS,
    json: JsonOption = False,
) -> None:
    """Measure a record's cell again and say whether it reproduces."""
    from benchmarks.commands import replay

    raise typer.Exit(replay.replay(record, store, json))


@app.command()
def status(store: StoreOption = RESULTS, json: JsonOption = False) -> None:
    """Show what is done, running, failed and left of sweeps that run or were killed."""
    from benchmarks.commands import status

    status.status(store, json)


@app.command()
def leaderboard(
    format_: Annotated[
        str, typer.Option("--format", help="text, html, md, csv, latex, json or png.")
    ] = "text",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; default: stdout.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="'published' sets the papers' cells beside ours.")
    ] = None,
    pde: Annotated[str, typer.Option(help="Only these problems: a name, a glob or a family.")] = "*",
    track: Annotated[str | None, typer.Option(help="Only the cells of this track.")] = None,
    store: StoreOption = RESULTS,
    json: JsonOption = False,
) -> None:
    """Write tables of comparable cells, with ranks and their intervals."""
    from benchmarks.commands import leaderboard

    leaderboard.leaderboard("json" if json else format_, output, against, pde, track, store)


@app.command()
def compare(
    before: Annotated[str, typer.Argument(help="A commit, as git names it.")],
    after: Annotated[str, typer.Argument(help="Another commit.")],
    factor: Annotated[str, typer.Option(help="Report changes beyond this factor.")] = "1.1",
    store: StoreOption = RESULTS,
    json: JsonOption = False,
) -> None:
    """Compare records of the same cells made by two commits. Exit 1 if something became worse."""
    from benchmarks.commands import compare

    raise typer.Exit(compare.compare(before, after, factor, store, json))


@app.command()
def history(
    commits: Annotated[
        list[str] | None,
        typer.Option(help="A range such as HEAD~3..HEAD; default: this commit, as installed here."),
    ] = None,
    bench: Annotated[
        list[str] | None, typer.Option(help="Only benchmarks that match this regular expression.")
    ] = None,
    machine: Annotated[str | None, typer.Option(help="asv's name for this machine.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Run each benchmark once.")] = False,
    publish: Annotated[bool, typer.Option(help="Build the pages.")] = True,
    landmarks: Annotated[
        bool,
        typer.Option(
            "--landmarks",
            help="The commits of benchmarks/landmarks.txt; their results are kept in the store.",
        ),
    ] = False,
    show: Annotated[
        Path | None, typer.Option(help="Measure nothing; say what changed in a folder of asv's results.")
    ] = None,
    store: StoreOption = RESULTS,
) -> None:
    """Measure commits with asv, say which changed what, and publish the pages."""
    from benchmarks.commands import history as suites

    if show is not None:
        suites.show(show)
    elif landmarks:
        _no_more_than_landmarks(commits, quick)
        raise typer.Exit(suites.history_of_landmarks(bench or [], machine, store))
    else:
        raise typer.Exit(suites.history(commits or [], bench or [], machine, quick, publish))


def _no_more_than_landmarks(commits: list[str] | None, quick: bool) -> None:
    if commits or quick:
        other = "--commits" if commits else "--quick"
        raise UserError(f"--landmarks names its commits and measures them whole; leave {other} out")


@app.command()
def asv(
    action: Annotated[str, typer.Argument(help="export or import.")],
    folder: Annotated[
        Path | None, typer.Argument(help="New folder for the export; results to import (.asv/results).")
    ] = None,
    store: StoreOption = RESULTS,
) -> None:
    """Export records as results of asv, or import results of the asv suites. Exit 1 if a file could not be read."""
    from benchmarks.commands import asv

    if action == "import":
        raise typer.Exit(asv.import_(folder or Path(".asv/results"), store))
    if action != "export" or folder is None:
        raise UserError(f"expected export FOLDER, or import, got {action[:40]!r}")
    asv.export(store, folder)


@app.command()
def release(
    file: Annotated[Path, typer.Argument(help="The archive to write, such as pdezoo-results.tar.gz.")],
    site: Annotated[Path | None, typer.Option(help="Pack this folder too, which `pdezoo site` made.")] = None,
    store: StoreOption = RESULTS,
) -> None:
    """Pack records, readings, tracks and tables into one archive with checksums; equal stores give equal bytes."""
    from benchmarks.commands import release

    release.release(file, store, site)


@app.command("verify-release")
def verify_release(file: Annotated[Path, typer.Argument(help="An archive of `pdezoo release`.")]) -> None:
    """Check the files of an archive, and make its tables again from its records."""
    from benchmarks.commands import release

    release.verify_release(file)


@app.command()
def landmark(
    update: Annotated[
        bool, typer.Option("--update", help="Make this code's plans the new landmark.")
    ] = False,
) -> None:
    """Compare bytes and operations of ten compiled steps with those of the last landmark. Exit 1 if one grew."""
    from benchmarks.commands import landmark

    raise typer.Exit(landmark.landmark(update))


@app.command()
def theory(
    names: Annotated[
        list[str] | None, typer.Argument(help="variance, moments, alignment, kernel; default: all.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the figures; default: none drawn.")
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(help="Store in whose folder `readings` the numbers are kept; default: none."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Compare what theory predicts of zeroth-order descent with a small problem. Takes about two minutes."""
    from benchmarks.commands import theory as diagnostics

    diagnostics.theory(names or [], output, json, store)


@app.command()
def cite(
    name: Annotated[
        str, typer.Argument(help="A track, a problem, a solver, or 'table' for the whole result set.")
    ] = "table",
    store: StoreOption = RESULTS,
    json: JsonOption = False,
) -> None:
    """Print BibTeX for the suite and the papers behind a row, and the hash of the result set."""
    from benchmarks.commands import cite

    cite.cite(name, store, json)


@app.command()
def merge(
    stores: Annotated[list[Path], typer.Argument(help="Stores whose records are copied.")],
    store: StoreOption = RESULTS,
    json: JsonOption = False,
) -> None:
    """Copy the records of other stores into this one."""
    from benchmarks.commands import merge

    raise typer.Exit(merge.merge(stores, store, json))


@app.command()
def doctor(store: StoreOption = RESULTS, json: JsonOption = False) -> None:
    """Say what this machine offers, and what is missing or broken."""
    from benchmarks.commands import doctor

    raise typer.Exit(doctor.doctor(store, json))


def main() -> None:
    """Run the command that `sys.argv` asks for. `PDEZOO_TRACEBACK=1` shows where an internal error came from."""
    _write_what_can_be_written()
    _require_ours()
    asked_to_stop = (signal.SIGINT, signal.SIGTERM)  # what Ctrl-C and batch systems send
    before = {number: signal.signal(number, _interrupted) for number in asked_to_stop}
    try:
        app(prog_name="pdezoo")
    except UserError as error:
        _stop(f"Error: {error}", 2)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("PDEZOO_TRACEBACK"):
            raise
        from benchmarks.records.outcome import in_words

        _stop(f"Internal error: {in_words(error)}\nPlease report it with PDEZOO_TRACEBACK=1.", 1)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write_what_can_be_written() -> None:
    """Replace characters that the encoding of the output lacks, and remove COLUMNS or LINES where they are no positive number."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    for name in ("COLUMNS", "LINES"):  # Rich stumbles over what is no number
        if not re.fullmatch("[1-9][0-9]{0,4}", os.environ.get(name, "1")):
            del os.environ[name]


def _require_ours() -> None:
    """Exit with status 2 and the reason where a module of the user's has the name of one of our packages and hides it."""
    spec = importlib.util.find_spec("pdezoo")
    folders = (spec and spec.submodule_search_locations) or []
    if not any((Path(folder) / "__main__.py").is_file() for folder in folders):
        where = f"at {spec.origin} is not the package" if spec else "is missing: it is the package"
        _stop(
            f"Error: the module 'pdezoo' {where} that this program needs. Rename yours, or install pdezoo", 2
        )
    from pdezoo.__main__ import shadowed

    if hidden := shadowed():
        _stop(f"Error: {hidden}", 2)


def _interrupted(number: int, frame: object) -> None:
    print("Interrupted; what was finished is kept, and the same command goes on from there.", file=sys.stderr)
    raise KeyboardInterrupt


def _stop(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
