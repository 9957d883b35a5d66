"""`live`: a version looks at a camera, a stream or a video."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import HomeFolder, read_home
from pipelines.cli.output import AsJson, bar, say

if TYPE_CHECKING:
    from pipelines.queries.live.live import Watch
    from pipelines.queries.live.records import FrameAnswer, LiveSummary

_EVERY_S = 10.0
"""Seconds between two lines of progress where nobody knows how many frames there will be."""


def live(
    ref: Annotated[str, typer.Argument(help="NAME@production or NAME/VERSION, which has a bundle.")],
    *,
    source: Annotated[str, typer.Option(help="A camera's number, a file, or an http, https or rtsp address.")] = "0",
    out: Annotated[Path | None, typer.Option(help="Write the pictures with their answers: .mp4, .mov or .mkv.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the video that is there.")] = False,
    window: Annotated[
        bool | None, typer.Option("--window/--no-window", help="Show it.  [default: unless --out or --json]")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="The least probability, or score of a box.  [default: the version's]", min=0, max=1)
    ] = None,
    frames: Annotated[int | None, typer.Option(help="End after so many frames.", min=1)] = None,
    seconds: Annotated[float | None, typer.Option(help="End after so many seconds of the source.", min=0.001)] = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Look at a camera, a stream or a video with a version's bundle, here.

    In a window q or Escape ends it; Ctrl-C always does. With --json each frame is a line, and the last line a summary.
    """
    from pipelines.queries.live.live import Live
    from pipelines.queries.live.records import LiveOptions

    shown = window if window is not None else not (out or as_json)
    opened, options = read_home(home), LiveOptions(out, force, shown, threshold, frames, seconds)
    with _watching(as_json=as_json, quiet=shown) as watch:
        summary, failure = Live(opened.ledger, opened.store).live(ref, source, options, watch)
    _print_summary(summary, as_json=as_json)
    if failure:
        raise failure


@contextmanager
def _watching(*, as_json: bool, quiet: bool) -> Generator[Watch]:
    """What becomes of each answer: a line of JSON, progress, or nothing where a window shows it."""
    if as_json:
        yield lambda answer, _expected: print(answer.line(), flush=True)
    elif quiet:
        yield lambda _answer, _expected: None
    else:
        with bar() as progress:
            yield _progress(progress)


def _progress(progress: Callable[[str, int, int], None]) -> Watch:
    """A bar where the end is known, else a line every ten seconds."""
    from time import monotonic

    last = monotonic()

    def watch(answer: FrameAnswer, expected: int) -> None:
        nonlocal last
        done = (answer.frame or 0) + 1
        if expected:
            progress("frames", min(done, expected), expected)
        elif monotonic() - last >= _EVERY_S:
            last = monotonic()
            say(f"{done} frames")

    return watch


def _print_summary(summary: LiveSummary, *, as_json: bool) -> None:
    """The last line. Where nobody reads any more, nothing is left to be said, at the interpreter's end neither."""
    import json
    import os

    try:
        print(json.dumps(summary.as_dict()) if as_json else summary, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def add_to(app: typer.Typer) -> None:
    """Add this group's command."""
    app.command()(live)
