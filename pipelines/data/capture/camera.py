"""What a take is filmed with: a camera of this machine, a stream, or a file in its place; pictures with their times."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import av
import cv2
from cv2.typing import MatLike

from pipelines.data.video.picture import bgr
from pipelines.data.video.reader import ClipReader
from registry.errors import InputError, UnavailableError

SCHEMES = {"http": "http,tcp", "https": "https,http,tls,tcp", "rtsp": "rtsp,rtp,udp,tcp"}
"""Addresses that a stream may have, and the protocols of FFmpeg that each needs; no other is ever opened."""
_STREAMS = "mpjpeg,mjpeg,jpeg_pipe,rtsp,mpegts,matroska,webm,mov,mp4,flv,ogg"
"""Containers of streams; playlists are none of them."""
PATIENCE_S = 10.0
"""A camera that gives no picture for so long is taken for one that gives none."""
_HELD = 8
"""Pictures that wait to be taken; when nobody takes them, the oldest go."""
_LONGEST_GAP_S = 2.0
"""A file behind an address is waited for no longer between two of its pictures, whatever its times say."""
_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]*):(?!\\)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture, BGR uint8 `[height, width, 3]`, and when it came: in the camera's own seconds, and as a date if known."""

    image: MatLike
    seconds: float
    taken: datetime | None = None


class Camera(Protocol):
    """What gives pictures until it is closed. `is_live`: it gives them whether they are taken or not."""

    name: str
    is_live: bool

    def flush(self) -> None:
        """Leave out the pictures that came before now, if they come by themselves."""
        ...

    def read(self) -> Shot:
        """The next picture. Raises UnavailableError where none comes any more, or for too long."""
        ...

    def close(self) -> None:
        """Let go of the camera; may be called again."""
        ...


def open_camera(source: str, patience: float = PATIENCE_S) -> Camera:
    """A camera by its number or /dev/videoN, a stream by its address, or a file that stands in for one.

    Raises as `open_live` does, and NotFoundError where there is no such file.
    """
    return open_live(source, patience) or FileCamera(Path(source))


def open_live(source: str, patience: float = PATIENCE_S, held: int = _HELD) -> LiveCamera | None:
    """A camera by its number or /dev/videoN, or a stream by its address; None for what is the name of a file.

    No more than `held` pictures wait to be taken. Raises InputError for another kind of address; UnavailableError for a
    camera that is not there or gives no picture within `patience` seconds.
    """
    if match := re.fullmatch(r"(?:/dev/video)?(\d{1,3})", source):
        return LiveCamera(f"camera {match[1]}", lambda: _device_pictures(int(match[1])), patience, held)
    scheme = _SCHEME.match(source)
    if scheme and len(scheme[1]) > 1:  # one letter is a drive
        if scheme[1].lower() not in SCHEMES:
            raise InputError("--source", f"'{scheme[1]}:' is no camera's address", f"expected one of {', '.join(SCHEMES)}")
        return LiveCamera(public_address(source), lambda: _stream_pictures(source, patience), patience, held)
    return None


def public_address(address: str) -> str:
    """An address without the name, password and path that may be in it. Raises InputError for what is no address."""
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise InputError("--source", "is not an address that can be read", "for example rtsp://camera.local/stream") from error
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


class FileCamera:
    """A clip in place of a camera: its frames by its own times. It waits for whoever takes them, and it ends."""

    is_live = False

    def __init__(self, clip: Path) -> None:
        """Open the clip. Raises InputError for what is no video."""
        self.name = str(clip)
        self._reader = ClipReader(clip)
        self._frames = self._reader.frames()
        self._last = -1.0

    def read(self) -> Shot:
        """The next frame."""
        for decoded in self._frames:
            if decoded.seconds > self._last:  # a file may hold frames out of order; a camera does not
                self._last = decoded.seconds
                created = self._reader.header.created
                return Shot(bgr(decoded.frame), decoded.seconds, created and created + timedelta(seconds=decoded.seconds))
        why = f"has ended after {self._reader.seconds:.1f} seconds"
        raise UnavailableError(self.name, why, "name a longer file, or film fewer takes or seconds")

    def flush(self) -> None:
        """Nothing comes by itself."""

    def close(self) -> None:
        """Close the clip."""
        self._reader.close()


class LiveCamera:
    """A camera that is read by a thread of its own, so that one that hangs keeps nobody waiting for longer than `patience`."""

    is_live = True

    def __init__(
        self, name: str, pictures: Callable[[], Generator[MatLike]], patience: float = PATIENCE_S, held: int = _HELD
    ) -> None:
        """Start to read, and wait for the first picture. Of more than `held` that wait, the oldest go.

        Raises UnavailableError.
        """
        self.name = name
        self.came = 0
        """How many pictures have come, whether they were taken or not."""
        self._patience = patience
        self._shots: deque[Shot] = deque(maxlen=held)
        self._changed = threading.Condition()
        self._error: Exception | None = None
        self._ended = self._closed = False
        threading.Thread(target=self._pump, args=(pictures,), daemon=True, name=f"reads {name}").start()
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    @property
    def has_ended(self) -> bool:
        """Whether it gives no pictures any more, and nothing failed."""
        return self._ended and self._error is None

    def read(self) -> Shot:
        """The oldest picture that waits, or the next."""
        self._wait()
        return self._shots.popleft()

    def flush(self) -> None:
        """Leave out the pictures that wait."""
        with self._changed:
            self._shots.clear()

    def close(self) -> None:
        """Tell the thread to let go; one that hangs in a driver is left behind."""
        self._closed = True

    def _wait(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._shots or self._ended, self._patience)
            if self._shots:
                return
        if isinstance(self._error, UnavailableError):
            raise self._error
        if self._ended:
            raise UnavailableError(self.name, "gives no pictures any more", "see whether it is plugged in") from self._error
        why = f"has given no picture for {self._patience:g} seconds"
        raise UnavailableError(self.name, why, "see whether it is plugged in and no other program uses it")

    def _pump(self, pictures: Callable[[], Generator[MatLike]]) -> None:
        """Put pictures in line, with the times at which they came."""
        try:
            with contextlib.closing(pictures()) as running:
                for image in running:
                    with self._changed:
                        self._shots.append(Shot(image, time.monotonic(), datetime.now(UTC)))
                        self.came += 1
                        self._changed.notify()
                    if self._closed:
                        return
        except Exception as error:  # noqa: BLE001 whatever a driver raises is told where the pictures are waited for
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()


def _device_pictures(number: int) -> Generator[MatLike]:
    """The pictures of a camera of this machine."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    capture = cv2.VideoCapture(number)
    try:
        if not capture.isOpened():
            remedy = "plug it in, close what uses it, or name another with --source"
            raise UnavailableError(f"camera {number}", "is not there, or another program uses it", remedy)
        while True:
            is_read, image = capture.read()
            if not is_read:
                return
            yield image
    finally:
        capture.release()


def _stream_pictures(address: str, patience: float) -> Generator[MatLike]:
    """The pictures of a camera in the network."""
    options = {"protocol_whitelist": SCHEMES[urlsplit(address).scheme.lower()], "format_whitelist": _STREAMS}
    try:
        with av.open(address, options=options, timeout=(patience, patience)) as container:
            if not container.streams.video:
                raise UnavailableError(public_address(address), "sends no video", "see what it sends in a player")
            is_finite = bool(container.duration and container.duration > 0)
            began = time.monotonic()
            for frame in container.decode(container.streams.video[0]):
                if is_finite and frame.time:  # a file behind an address comes faster than it plays
                    time.sleep(min(max(began + frame.time - time.monotonic(), 0), _LONGEST_GAP_S))
                yield bgr(frame)
    except (av.FFmpegError, OSError, ValueError) as error:
        why = f"cannot be read ({type(error).__name__})"
        raise UnavailableError(public_address(address), why, "see its address, and whether the camera is on") from error
