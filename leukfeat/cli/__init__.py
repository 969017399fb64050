"""The command line: every command parses, makes one library call, and prints.

Nothing heavy is imported before a command runs, so that ``leukfeat --help`` answers at once.
"""

from __future__ import annotations

import signal
import sys
import threading
from typing import Annotated

import typer

from leukfeat.cli import audit, cache, claims, compare, data, explain, features, machine, predict, runs
from leukfeat.cli.console import visible
from leukfeat.errors import LeukfeatError

_INTERRUPTED = 130  # what the shell calls a command that Ctrl-C has ended
EPILOG = "Research use only, not for diagnosis."

app = typer.Typer(
    name="leukfeat",
    help="Deep features, tuned heads and honest patient-by-patient comparison for leukemia-cell images.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"leukfeat {version('leukfeat')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command("init")(data.init)
app.add_typer(data.app, name="data")
app.command("extract")(features.extract)
app.command("fit-head")(runs.fit_head)
app.command("fit-net")(runs.fit_net)
app.command("run")(runs.run)
app.command("compare")(compare.compare)
app.command("predict")(predict.predict)
app.command("explain")(explain.explain)
app.command("audit")(audit.audit)
app.command("audit-claims")(claims.audit_claims)
app.add_typer(cache.app, name="cache")
app.command("models")(machine.models)
app.command("doctor")(machine.doctor)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 something about the data, 2 something about the request."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # finished rows are kept, as after Ctrl-C
    try:
        app(args=arguments, standalone_mode=True)
    except LeukfeatError as error:
        print(f"leukfeat: {visible(str(error))}", file=sys.stderr)
        sys.exit(error.exit_status)
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            print("leukfeat: interrupted; what is finished is kept, the same command goes on", file=sys.stderr)
        raise
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"leukfeat: {visible(f'{where}{error.strerror or error}')}", file=sys.stderr)
        sys.exit(1)
