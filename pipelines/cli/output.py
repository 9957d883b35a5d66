"""How commands speak: tables and progress for people on a terminal, one JSON document for machines.

Progress goes to standard error, answers to standard output, so that a pipe only ever carries the answer.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

AsJson = Annotated[bool, typer.Option("--json", help="Give the answer as JSON.")]


def answer(value: object, *, as_json: bool, text: str | None = None) -> None:
    """Print a command's answer: the value as one line of JSON, or the text for people."""
    if as_json:
        print(json.dumps(value, ensure_ascii=False, default=str), flush=True)
    elif text is not None:
        print(text, flush=True)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table for people."""
    from rich.console import Console
    from rich.table import Table

    grid = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*[_plain(cell) for cell in row])
    Console(width=None if sys.stdout.isatty() else 140).print(grid)


def _plain(cell: object) -> str:
    """A cell's text; square brackets are Rich's markup and are kept from acting as such."""
    from rich.markup import escape

    return escape("" if cell is None else str(cell))


def say(text: str) -> None:
    """One line of progress."""
    print(f"· {text}", file=sys.stderr, flush=True)


@contextmanager
def bar() -> Generator[Callable[[str, int, int], None]]:
    """A progress bar on a terminal, a line per quarter elsewhere: called with what, done, total."""
    if not sys.stderr.isatty():
        yield _quarters()
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=False) as shown:
        yield _moving(shown)


def _moving(shown: Progress) -> Callable[[str, int, int], None]:
    tasks: dict[str, Any] = {}

    def move(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = shown.add_task(what, total=total)
        shown.update(tasks[what], completed=done)

    return move


def _quarters() -> Callable[[str, int, int], None]:
    reported: set[tuple[str, int]] = set()

    def move(what: str, done: int, total: int) -> None:
        quarter = 4 * done // max(total, 1)
        if (what, quarter) not in reported and quarter:
            reported.add((what, quarter))
            say(f"{what}: {done} of {total}")

    return move
