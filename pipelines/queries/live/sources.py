"""What is looked at: a camera or a stream, of which only the newest picture counts, or a file, of which every frame does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from PIL import Image

from pipelines.data.capture.camera import PATIENCE_S, LiveCamera, open_live
from pipelines.data.sources import CLIP_ENDINGS, printable
from pipelines.data.video.contents import container_of
from pipelines.data.video.picture import bgr
from pipelines.data.video.reader import ClipReader
from pipelines.queries.pictures import Picture, pictures_of
from registry.errors import InputError, NotFoundError, UnavailableError
from serving.bundle.decode import decode

_NEWEST = 1
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class Frame(NamedTuple):
    """A picture, and its seconds since the first of its source."""

    picture: Image.Image
    seconds: float


class Source(Protocol):
    """What gives frames. `is_live`: they come by themselves. `expected` counts them, as far as that is known; 0 is unknown."""

    name: str
    is_live: bool
    expected: int

    def frames(self) -> Iterator[Frame]:
        """Its frames, to its end. Raises ModelyardError where it breaks off. Meant to be called once."""
        ...

    @property
    def dropped(self) -> int:
        """How many pictures came and were not given, because a newer one was there."""
        ...

    def close(self) -> None:
        """Let go of it; may be called again."""
        ...


def open_source(source: str, patience: float = PATIENCE_S) -> Source:
    """A camera by its number, a stream by its http, https or rtsp address, a video or a picture by its file.

    Raises InputError for what is none of them, NotFoundError without such a file, and UnavailableError for a camera or a
    stream that gives no picture within `patience` seconds.
    """
    if camera := open_live(source, patience, held=_NEWEST):
        return CameraSource(camera, ends=_ADDRESS.match(source) is not None)
    path = Path(source)
    if path.suffix.lower() in CLIP_ENDINGS:
        return ClipSource(path)
    try:
        container_of(path)
    except NotFoundError as error:
        remedy = "give a camera's number, a file, or an http, https or rtsp address"
        raise NotFoundError(f"--source {printable(path)}", "is no file, and no camera's number", remedy) from error
    except InputError as error:
        return _picture_source(path, error)
    return ClipSource(path)


class CameraSource:
    """A camera or a stream that is read by a thread of its own. A stream `ends`; a camera that does was unplugged."""

    is_live = True
    expected = 0

    def __init__(self, camera: LiveCamera, *, ends: bool) -> None:
        """It gives pictures already."""
        self.name = camera.name
        self._camera, self._ends = camera, ends
        self._given = 0

    def frames(self) -> Iterator[Frame]:
        """The newest picture, each time."""
        began: float | None = None
        while True:
            try:
                shot = self._camera.read()
            except UnavailableError:
                if self._ends and self._camera.has_ended:
                    return
                raise
            self._given += 1
            began = shot.seconds if began is None else began
            yield Frame(_picture(shot.image), shot.seconds - began)

    @property
    def dropped(self) -> int:
        """Pictures that a newer one has replaced; one may still wait."""
        return max(self._camera.came - self._given - _NEWEST, 0)

    def close(self) -> None:
        """Let go of the camera."""
        self._camera.close()


class ClipSource:
    """A video's file: each frame that decodes, at its own time."""

    is_live = False
    dropped = 0

    def __init__(self, clip: Path) -> None:
        """Open it. Raises InputError for what is no video, NotFoundError without a file."""
        self.name = printable(clip)
        self._clip, self._reader = clip, ClipReader(clip)
        self.expected = self._reader.header.declared

    def frames(self) -> Iterator[Frame]:
        """Every frame. Raises InputError at the end of a video that is not whole."""
        for decoded in self._reader.frames():
            yield Frame(_picture(bgr(decoded.frame)), decoded.seconds)
        if damage := self._reader.damage():
            raise InputError(self.name, damage, "record it again, or copy it again")
        if not self._reader.decoded:
            raise InputError(self.name, "holds no frame that decodes", "record it again or convert it to MP4 (H.264)")

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


class PictureSource:
    """A single picture."""

    is_live = False
    dropped = 0
    expected = 1

    def __init__(self, name: str, picture: Image.Image) -> None:
        """It is decoded already."""
        self.name, self._picture = name, picture

    def frames(self) -> Iterator[Frame]:
        """The picture."""
        yield Frame(self._picture, 0.0)

    def close(self) -> None:
        """Nothing is open."""


def _picture_source(path: Path, no_video: InputError) -> PictureSource:
    """A picture's file. What is no picture either is refused as no video."""
    entry: Picture = next(iter(pictures_of(path, 1)))
    try:
        return PictureSource(entry.name, decode(entry.read(), entry.name))
    except InputError as error:
        raise no_video from error


def _picture(image: cv2.typing.MatLike) -> Image.Image:
    """BGR → an RGB picture."""
    return Image.fromarray(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)))
