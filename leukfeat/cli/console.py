"""What the commands print: lines to stdout, progress to stderr where somebody is watching."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import typer

from leukfeat.textfiles import printable

if TYPE_CHECKING:
    from leukfeat.backbones.training import TrainingProgress


def say(line: str) -> None:
    """Print a line."""
    typer.echo(visible(line))


def visible(text: str) -> str:
    """A text for a terminal: control characters that a name in it may have are replaced."""
    return "\n".join(map(printable, text.split("\n")))


def say_json(facts: Any) -> None:
    """Print facts as JSON."""
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    # half a character, which only another JSON can have named, stays an escape
    typer.echo(text.encode("utf-8", "backslashreplace").decode())


def typed(context: typer.Context) -> str:
    """The command that is being executed, as a shell takes it; options nobody gave are left out."""
    words = ["leukfeat", str(context.info_name)]
    for parameter in context.command.params:
        source, value = context.get_parameter_source(str(parameter.name)), context.params.get(str(parameter.name))
        if source is None or source.name != "COMMANDLINE":
            continue
        flag = [parameter.opts[-1]] if parameter.param_type_name == "option" else []
        values = value if isinstance(value, list | tuple) else [value]
        words += flag if value is True else [part for one in values for part in (*flag, str(one))]
    return shlex.join(words)


class Progress:
    """Bars with rate and time left on a terminal; nothing where nobody is watching.

    Call it as a context manager; :meth:`bar` gives a callback ``(done, total, …)`` of the shape the library uses.
    """

    def __init__(self) -> None:
        self._live: Any = None
        self._tasks: dict[str, Any] = {}
        self._started: dict[str, float] = {}

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as RichProgress

            self._live = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, name: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` steps of the work called ``name`` are finished."""
        if self._live is None:
            return
        if name not in self._tasks or done < self._live.tasks[self._tasks[name]].completed:
            self._tasks[name] = self._live.add_task(name, total=total, rate="")
            self._started[name] = time.monotonic()
        seconds = time.monotonic() - self._started[name]
        rate = f"{done / seconds:.1f}/s" if seconds > 0.5 else ""
        self._live.update(self._tasks[name], completed=done, total=total, rate=rate)

    def training(self, now: TrainingProgress) -> None:
        """Show where a training is: epoch, loss, metric, time left."""
        if self._live is None:
            return
        value = "" if now.value is None else f", {now.metric.replace('_', ' ')} {now.value:.4g}"
        done, total = (now.epoch - 1) * now.steps + now.step, now.epochs * now.steps
        if "train" not in self._tasks or done <= self._live.tasks[self._tasks["train"]].completed:
            self._tasks["train"] = self._live.add_task("train", total=total, rate="")
        told = f"train, epoch {now.epoch}/{now.epochs}, loss {now.loss:.4f}{value}"
        left = f"{now.seconds_left:.0f} s left"
        self._live.update(self._tasks["train"], completed=done, total=total, rate=left, description=told)

    def bar(self, name: str) -> Callable[..., None]:
        """A callback that shows progress under a name."""
        return lambda done, total, *_: self.update(name, done, total)


@contextlib.contextmanager
def progress() -> Iterator[Progress]:
    """Show progress while a block runs."""
    with Progress() as shown:
        yield shown
