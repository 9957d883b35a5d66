"""`modelyard capture`: takes of each class from a camera."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.output import AsJson, answer, say, table

if TYPE_CHECKING:
    from pipelines.data.capture.film import Script, Stage
    from pipelines.data.capture.take import Take


def capture(
    *,
    label: Annotated[list[str] | None, typer.Option("--class", metavar="NAME", help="A class; may be repeated.")] = None,
    seconds: Annotated[float, typer.Option(help="How long each take is.", min=0.2, max=3600)] = 20,
    takes: Annotated[int, typer.Option(help="Takes of each class; three at least, for train, val and test.", min=1)] = 3,
    source: Annotated[str, typer.Option(help="A camera's number, a clip's file, or an http, https or rtsp address.")] = "0",
    out: Annotated[Path, typer.Option(help="Takes go to OUT/<class>/.")] = Path("clips"),
    session: Annotated[str, typer.Option(help="Part of the files' names.  [default: the date and time]")] = "",
    person: Annotated[str, typer.Option(help="Who is filmed; part of the files' names.")] = "",
    mirror: Annotated[bool, typer.Option("--mirror", help="Store pictures as in a mirror; the take notes it.")] = False,
    countdown: Annotated[int, typer.Option(help="Seconds before each take of a camera.", min=0, max=60)] = 3,
    preview: Annotated[bool, typer.Option(help="Show the picture where there is a display.")] = True,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not wait for a key before each take.")] = False,
    as_json: AsJson = False,
) -> None:
    """Film takes of each class from a camera, one file per take, for `modelyard frames`."""
    from datetime import datetime

    from pipelines.data.capture.camera import open_camera
    from pipelines.data.capture.film import Script, advice, check_script, film

    session = session or datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    script = Script(label or [], seconds, takes, out, session, person, mirror, countdown)
    check_script(script)
    camera = open_camera(source)
    try:
        stage = _stage(is_asking=not yes and not as_json, is_shown=preview and camera.is_live)
        finished = _told(film(camera, script, stage))
    finally:
        camera.close()
    hints = advice(script)
    answer({"takes": [take.as_dict() for take in finished], "advice": hints}, as_json=as_json)
    if not as_json:
        _show(script, finished)
        for hint in hints:
            say(hint)
        print(f"next: modelyard frames --clips {out}")


def _stage(*, is_asking: bool, is_shown: bool) -> Stage:
    """A window where one can be, else the terminal; a person is waited for where there is one."""
    import sys

    from pipelines.data.capture.stage import Terminal, Window, has_window

    waits = is_asking and sys.stdin.isatty() and sys.stderr.isatty()
    if is_shown and has_window():
        return Window(say, waits)
    return Terminal(say, _press_enter if waits else None)


def _press_enter(text: str) -> None:
    typer.prompt(text, default="", show_default=False, prompt_suffix=" ", err=True)


def _told(takes: Iterable[Take]) -> list[Take]:
    """Every take, said when it is whole."""
    finished: list[Take] = []
    for take in takes:
        finished.append(take)
        say(f"{take.file}: {take.seconds:.1f} s, {take.frames} frames")
    return finished


def _show(script: Script, takes: list[Take]) -> None:
    """What was filmed."""
    rows = [(take.note.label, take.file.name, f"{take.seconds:.1f}", take.frames) for take in takes]
    table(f"takes in {script.out}", ["class", "file", "seconds", "frames"], rows)


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(capture)
