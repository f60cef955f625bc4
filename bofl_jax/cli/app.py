"""The command line: ``bofl``."""

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from bofl_jax.cli.console import RoundProgress, describe_member, describe_start, out, provenance_table, summary_tables
from bofl_jax.core.errors import BoflError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Governed, personalised federated learning in JAX.",
)
data_app = typer.Typer(no_args_is_help=True, help="Data sets: list, check, fetch.")
app.add_typer(data_app, name="data")

Import = Annotated[
    list[Path] | None,
    typer.Option(
        "--import",
        metavar="FILE",
        help="Python file of yours that registers algorithms, sources, generators, models or metrics.",
    ),
]
Assignments = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one key.")]

Engine = Literal["eels"]
"""The second EVMs, as in `bofl_jax.ledger.SecondEngine`, which takes long to import."""

INTERRUPTED = 130
UsageError: Any = typer.BadParameter.__base__  # click's own, or the copy that typer brings

err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)


@app.callback()
def settings(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options of every command; ``main`` reads them, wherever they stand."""
    del debug


@app.command()
def run(
    config: Annotated[str, typer.Argument(help="A preset's name or a TOML file.")],
    set_: Assignments = None,
    out_dir: Annotated[Path | None, typer.Option("--out", help="Run directory [default: runs/NAME].")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the last completed round.")] = False,
    distributed: Annotated[
        str | None,
        typer.Option(metavar="I/N@HOST:PORT|auto", help="Be the I-th of N processes; auto asks the job scheduler."),
    ] = None,
    import_: Import = None,
) -> None:
    """Train, personalise, evaluate; every round on the ledger."""
    from bofl_jax.config import parse_assignment, read_table

    table, overrides = read_table(config), dict(parse_assignment(text) for text in set_ or [])

    from bofl_jax.config import import_files, load_config

    import_files(import_ or [])
    loaded = load_config(table, overrides)

    from bofl_jax import figures
    from bofl_jax.parallel.devices import enable_compilation_cache
    from bofl_jax.runs import join_processes
    from bofl_jax.runs import run as run_config

    enable_compilation_cache()
    if distributed and not join_processes(distributed, loaded.engine):
        result = run_config(loaded, out=out_dir, resume=resume)
        _say(f"Done; the first process wrote {result.directory}")
        return
    with RoundProgress(loaded.federation.rounds) as on_round:
        result = run_config(
            loaded,
            out=out_dir,
            resume=resume,
            on_round=on_round,
            on_start=lambda start: _say(describe_start(start)),
        )
    figures.draw(result.directory)
    for shown in summary_tables(result.summary):
        out.print(shown)
    out.print(f"Written to {result.directory}", highlight=False, soft_wrap=True)


@app.command()
def sweep(
    config: Annotated[str, typer.Argument(help="A preset's name or a TOML file.")],
    grid: Annotated[
        list[str] | None, typer.Option("--grid", metavar="KEY=V1,V2", help="Values of one key; give it once a key.")
    ] = None,
    set_: Assignments = None,
    out_dir: Annotated[Path | None, typer.Option("--out", help="Folder of all members [default: sweeps/NAME].")] = None,
    resume: Annotated[bool, typer.Option(help="Do not repeat members that are complete.")] = False,
    shard: Annotated[str, typer.Option(metavar="I/N", help="Do only the I-th of N parts of the grid.")] = "1/1",
    import_: Import = None,
) -> None:
    """Run every combination of some keys' values: a run directory for each, and one table of all."""
    from bofl_jax.config import parse_assignment, read_table

    table, fixed = read_table(config), dict(parse_assignment(text) for text in set_ or [])

    from bofl_jax.config import import_files, load_config

    import_files(import_ or [])
    name = load_config(table, fixed).name

    from bofl_jax.sweep import parse_axis
    from bofl_jax.sweep import sweep as run_sweep

    axes = [parse_axis(text) for text in grid or []]
    done = run_sweep(
        lambda point: load_config(table, fixed | dict(point)),
        axes,
        out=out_dir or Path("sweeps") / name,
        resume=resume,
        shard=shard,
        on_member=lambda number, count, result: _say(f"[{number}/{count}] {describe_member(result)}"),
        on_round=lambda count, number: _say(f"{count} side by side: round {number}") if number % 10 == 0 else None,
    )
    _say(f"Written to {done.directory}: sweep.csv, sweep.npz")
    if done.failed:
        names = ", ".join(result.member.name for result in done.failed)
        count = f"{len(done.failed)} of {len(done.results)} members failed"
        raise BoflError(f"{count} ({done.directory / 'sweep.csv'} says why): {names}; --resume tries them again")


@app.command()
def audit(
    directory: Annotated[Path | None, typer.Argument(help="A run directory.", metavar="RUN")] = None,
    engine: Annotated[Engine | None, typer.Option(help="Replay on a second EVM too.")] = None,
    client: Annotated[str | None, typer.Option(help="List everything that one client did.", metavar="ID")] = None,
    prove: Annotated[
        tuple[str, int] | None, typer.Option(help="Prove that a client contributed to a round.", metavar="CLIENT ROUND")
    ] = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="Write the listing (.csv, .json) or the proof there.")
    ] = None,
    verify: Annotated[
        Path | None, typer.Option("--verify-proof", help="Check a proof; no run directory is needed.", metavar="FILE")
    ] = None,
    genesis: Annotated[
        Path | None, typer.Option(help="The genesis.json that a proof must be under.", metavar="FILE")
    ] = None,
    import_: Import = None,
) -> None:
    """Replay a run's chain in a fresh EVM and check every block, seal, root and digest; say who contributed what."""
    if verify:
        if directory or engine or client or prove or out_file:
            raise BoflError("--verify-proof goes alone, or with --genesis: the proof is all that it looks at")
        _verify_proof(verify, genesis)
        return
    if directory is None or genesis or (client and prove):
        raise BoflError("name a run directory and at most one of --client and --prove; --genesis is for --verify-proof")
    from bofl_jax.config import import_files
    from bofl_jax.runs.audit_report import AuditReport, write_rows

    import_files(import_ or [])
    report = AuditReport(directory, engine)
    if prove:
        _say(f"Written to {report.prove(*prove, out_file)}: bofl audit --verify-proof checks it")
        return
    rows = report.client_history(client) if client else report.rounds()
    if out_file:
        write_rows(out_file, rows)
    out.print(provenance_table(rows))
    _say(report.conclusion())


def _verify_proof(path: Path, genesis: Path | None) -> None:
    from bofl_jax.ledger.audit.proof import verify_proof

    claim = verify_proof(path, genesis)
    anchor = f"the genesis block of {genesis}" if genesis else "the genesis block that it names: compare its hash"
    lines = (
        f"Holds, under {anchor}.",
        f"Client 0x{claim.client.hex()} contributed update 0x{claim.update_digest.hex()}",
        f"({claim.samples} samples, loss {claim.metric / 1e6:.6f}) to round {claim.round}, as number {claim.index + 1} "
        f"of {claim.count}.",
        f"The round led to global model {claim.version}, 0x{claim.model_digest.hex()}.",
        f"Genesis 0x{claim.genesis_hash.hex()}",
    )
    _say("\n".join(lines))


def _say(text: str) -> None:
    out.print(text, highlight=False, soft_wrap=True)


@app.command()
def figures(
    directory: Annotated[
        Path | None, typer.Argument(help="The directory of a run, a sweep, a study or benchmarks.", show_default=False)
    ] = None,
    out_dir: Annotated[Path | None, typer.Option("--out", help="Where to write [default: DIR/figures].")] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="List all figures and tables, and what makes their data.")
    ] = False,
    import_: Import = None,
) -> None:
    """Make the figures and tables of a run, a sweep, a study or benchmarks; say which have no data there."""
    from bofl_jax.config import import_files
    from bofl_jax.figures import FIGURES, draw

    import_files(import_ or [])
    if list_:
        for name, entry in FIGURES.items():
            _say(f"{name:<17} {entry.title} ({', '.join(entry.builders)}); {entry.how_to_make}")
        return
    if directory is None:
        raise BoflError("figures of what? Name a directory; --list says which figures there are")
    for path in draw(directory, out_dir, warn=err.print):
        out.print(str(path), highlight=False, soft_wrap=True)


@app.command()
def report(
    directory: Annotated[Path, typer.Argument(help="A run directory, or the folder of a sweep.")],
    out_file: Annotated[Path | None, typer.Option("--out", help="File to write [default: DIR/report.html].")] = None,
    import_: Import = None,
) -> None:
    """Write one HTML page about a run or a sweep, to open in any browser."""
    from bofl_jax.config import import_files
    from bofl_jax.pages import report as write

    import_files(import_ or [])
    _say(f"Written to {write(directory, out_file)}: open it in a browser")


@app.command()
def presets() -> None:
    """List the configurations that come with the package."""
    from bofl_jax.config import presets as names

    for name in names():
        out.print(name, highlight=False)


@data_app.command("list")
def data_list() -> None:
    """List the sources that ``data.source`` can name."""
    from bofl_jax.data import SOURCES

    table = Table("source", "what it is", box=None)
    for name, source in SOURCES.items():
        table.add_row(name, source.description)
    out.print(table)


Root = Annotated[Path | None, typer.Option("--root", help="Folder of the data set [default: under BOFL_DATA].")]


@data_app.command("check")
def data_check(name: str, root: Root = None) -> None:
    """Verify a data set's checksums and class counts."""
    from bofl_jax.data import check

    report = check(name, root)
    table = Table("records", *report.columns, title=f"{report.files} files match their checksums")
    for row, counts in report.rows.items():
        table.add_row(row, *(str(count) for count in counts))
    out.print(table)


@data_app.command("fetch")
def data_fetch(name: str, root: Root = None) -> None:
    """Download a data set; files that are there already are kept."""
    from bofl_jax.data import fetch

    out.print(f"Complete: {fetch(name, root)}", highlight=False, soft_wrap=True)


def main() -> None:
    """Run the command line; every foreseen error is one line and an exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    debug = "--debug" in sys.argv
    try:
        code = app([word for word in sys.argv[1:] if word != "--debug"], standalone_mode=False)
    except BoflError as error:
        if debug:
            traceback.print_exc()
        err.print(f"bofl: {' '.join(str(error).split())}")
        sys.exit(error.exit_code)
    except UsageError as error:
        _explain_usage(error)
        sys.exit(error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    if code == INTERRUPTED:
        err.print("bofl: stopped at once; a run that was under way goes on with --resume")
    sys.exit(code or 0)


def _explain_usage(error: Any) -> None:
    """One line on a command that was typed wrongly; without arguments the help has been printed already."""
    if type(error).__name__ != "NoArgsIsHelpError":
        where = error.ctx.command_path if error.ctx else "bofl"
        err.print(f"bofl: {error.format_message().rstrip('.')}: see {where} --help")
