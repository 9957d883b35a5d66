"""The order in which a person films: class by class, take by take, with one camera that stays open."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from cv2.typing import MatLike

from pipelines.data.capture.camera import Camera
from pipelines.data.capture.take import Take, next_number, writing
from pipelines.data.sources import CLIP_ENDINGS
from pipelines.data.video.note import TakeNote
from pipelines.data.video.writer import VideoWriter
from registry.errors import InputError

LEAST_TAKES = 3
_LONGEST_NAME = 200
_ALIKE_S = 1e-6


@dataclass(frozen=True, slots=True)
class Script:
    """What is to be filmed: so many takes of each class, so many seconds each, below `out`. `mirror`: as in a mirror."""

    labels: Sequence[str]
    seconds: float
    takes: int
    out: Path
    session: str
    person: str = ""
    mirror: bool = False
    countdown: int = 3

    @property
    def prefix(self) -> str:
        """What the names of its files begin with."""
        return "".join(f"{part}-" for part in (self.session, self.person) if part)


class Stage(Protocol):
    """Where a person is told what to do and sees the picture."""

    def ready(self, text: str, camera: Camera) -> None:
        """Say what comes next, and wait for the person where one can answer."""
        ...

    def show(self, image: MatLike, caption: str) -> None:
        """Show a picture with a caption; the picture itself is not drawn into. Raises KeyboardInterrupt to stop."""
        ...


def film(camera: Camera, script: Script, stage: Stage) -> Iterator[Take]:
    """Film every take, each given when it is whole; what was filmed before one that fails stays.

    Raises UnavailableError where the camera gives no pictures, StorageError where the disk takes no more.
    """
    for label in script.labels:
        for turn in range(script.takes):
            stage.ready(f"'{label}', take {turn + 1} of {script.takes}, {script.seconds:g} s", camera)
            _count_down(camera, script, stage, label)
            yield _film(camera, script, stage, label)


def check_script(script: Script) -> None:
    """Raise InputError for names that cannot be those of folders and files, and for times that are none."""
    if not script.labels:
        raise InputError("--class", "is missing", "name each class, for example --class hand --class not_hand")
    for label in script.labels:
        _check_label(label)
    if len({unicodedata.normalize("NFC", label).casefold() for label in script.labels}) < len(script.labels):
        raise InputError("--class", "names a class twice", "name each once; --takes says how often it is filmed")
    for option, name in (("--session", script.session), ("--person", script.person)):
        if name and not re.fullmatch(r"\w[\w.-]{0,59}", name):
            raise InputError(f"{option} '{name}'", "cannot be part of a file's name", "use letters, digits, '.', '_' and '-'")
    if not math.isfinite(script.seconds):
        raise InputError("--seconds", "is not a number of seconds", "for example --seconds 20")
    if script.out.exists() and not script.out.is_dir():
        raise InputError(script.out, "is not a folder", "name another with --out")


def advice(script: Script) -> list[str]:
    """What to film still, and why, by what lies in the classes' folders."""
    counts = {label: _count(script.out / label) for label in script.labels}
    why = (
        "all frames of a take go to one of train, val and test, because they look alike: "
        "a model is tested on takes that it never saw"
    )
    return [
        f"class '{label}' has {count} {'take' if count == 1 else 'takes'}, and {LEAST_TAKES} are needed: {why}"
        for label, count in counts.items()
        if count < LEAST_TAKES
    ]


def _count(folder: Path) -> int:
    names = folder.iterdir() if folder.is_dir() else ()
    return sum(path.suffix.lower() in CLIP_ENDINGS and not path.name.startswith(".") for path in names)


def _count_down(camera: Camera, script: Script, stage: Stage, label: str) -> None:
    """Show the seconds that are left before a take; what waits in a camera is old and left out."""
    camera.flush()
    if not camera.is_live or not script.countdown:
        return
    shot = camera.read()
    began = shot.seconds
    while (left := script.countdown - (shot.seconds - began)) > 0:
        stage.show(_as_wanted(shot.image, script), f"{label} in {math.ceil(left)}")
        shot = camera.read()


def _film(camera: Camera, script: Script, stage: Stage, label: str) -> Take:
    """One take: pictures until the last one's own length fills the time."""
    folder = script.out / label
    number = next_number(folder, script.prefix)
    note = TakeNote(
        label=label,
        number=number,
        session=script.session,
        person=script.person,
        camera=camera.name,
        mirrored=script.mirror,
    )
    with writing(folder, f"{script.prefix}take-{number:02d}", note) as (writer, path):
        _record(camera, script, stage, label, writer)
    return Take(path, note, writer.seconds, writer.frames)


def _record(camera: Camera, script: Script, stage: Stage, label: str, writer: VideoWriter) -> None:
    shot, count = camera.read(), 0
    began = shot.seconds
    while True:
        image = _as_wanted(shot.image, script)
        writer.add(image, shot.seconds, shot.taken)
        spent = shot.seconds - began
        if spent + spent / max(count, 1) >= script.seconds - _ALIKE_S:
            return
        stage.show(image, f"{label}: {script.seconds - spent:.0f} s")
        shot, count = camera.read(), count + 1


def _as_wanted(image: MatLike, script: Script) -> MatLike:
    return np.ascontiguousarray(image[:, ::-1]) if script.mirror else image


def _check_label(label: str) -> None:
    """A class's name is a folder's, and a line of text."""
    is_text = all(unicodedata.category(character) not in {"Cc", "Cs", "Zl", "Zp"} for character in label)
    if not label.strip() or not is_text or set(label) & set("/\\") or label.startswith("."):
        shown = label.encode("unicode_escape", "backslashreplace").decode()
        raise InputError(f"class '{shown}'", "cannot be a folder's name", "use letters, digits, '_' and '-'")
    if len(label.encode()) > _LONGEST_NAME:
        raise InputError(f"class '{label}'", f"is longer than {_LONGEST_NAME} bytes", "give it a shorter name")
