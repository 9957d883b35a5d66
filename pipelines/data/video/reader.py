"""A clip, open: what its container says of it, then its frames by their timestamps, and what did not decode."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, cast

import av
import av.logging
from av import VideoFrame
from av.codec.context import ThreadType
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from pipelines.data.video.contents import container_of
from pipelines.data.video.note import TakeNote, read_note
from pipelines.data.video.ticks import Clock
from registry.errors import InputError
from serving.bundle.image_header import MAX_PIXELS, BrokenImageError, check_sides

_WHOLE = 0.95
"""A clip counts as whole when this share of the frames that its container declares can be decoded.

Headers of whole clips are off by a frame or two; a clip cut short is off by far more.
"""
_TAIL_S = 1.0
"""A container's duration without its own count of frames may be off by so many seconds, audio's padding for one."""
_USUAL_RATE = 25.0
_OLDEST = datetime(1990, 1, 1, tzinfo=UTC)
"""Before it, a creation time is a clock that was never set: 1904 and 1970 are what containers count from."""
_REMEDY = "record it again or convert it to MP4 (H.264)"


@dataclass(frozen=True, slots=True)
class ClipHeader:
    """What a container says of its first real video. `declared` counts frames, `seconds` is its duration; 0 is unknown."""

    container: str
    codec: str
    width: int
    height: int
    declared: int
    seconds: float
    resolution: float
    rate: float
    created: datetime | None = None
    take: TakeNote | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """One decoded frame: its place among those that decode, its seconds since the first, and the picture as decoded."""

    index: int
    seconds: float
    frame: VideoFrame


class ClipReader:
    """A clip's first video that is not a cover picture, read once from its beginning; a context manager.

    Memory does not grow with the clip: packets and frames are gone when the next is asked for.
    """

    def __init__(self, clip: Path) -> None:
        """Open the clip. Raises InputError for what is no video or cannot be decoded here, NotFoundError without a file."""
        self.clip = clip
        self._container, self._stream = _opened(clip)
        self._clock = Clock(1 / (_rate(self._stream) or _USUAL_RATE))
        self._decoded = self._packets = self._hidden = self._failed = 0
        self._end = 0.0
        try:
            self.header = _header(clip, self._container, self._stream)
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the clip."""
        self._container.close()

    @property
    def decoded(self) -> int:
        """How many frames have decoded so far."""
        return self._decoded

    @property
    def seconds(self) -> float:
        """How far the clip has been read."""
        return self._clock.latest

    def frames(self) -> Iterator[Decoded]:
        """Every frame that decodes, in the order in which it is shown. Meant to be called once."""
        for frame in self._all():
            seconds = None if frame.pts is None else float(frame.pts * self._time_base)
            self._end = max(self._end, seconds or 0.0)
            yield Decoded(self._decoded, self._clock.at(seconds), frame)
            self._decoded += 1

    def expected(self) -> int:
        """How many frames the clip should have, known when it was read: what is declared, less what an edit list hides."""
        declared = self.header.declared
        if self._container.format.name.startswith("mov") and (indexed := len(self._stream.index_entries)):
            declared = indexed  # an edit list may have removed what lies before it; fragments are indexed as they are read
        return max(declared - self._hidden, 0)

    def damage(self) -> str:
        """What is missing of a clip that was read to its end, in words with counts; empty for a whole clip."""
        expected = self.expected()
        if expected and self._decoded < _WHOLE * expected - 1:
            return f"is not whole: {self._decoded} of {expected} frames decode"
        if not expected and self._failed > (1 - _WHOLE) * self._packets + 1:
            return f"is not whole: {self._decoded} of {self._packets} frames decode"
        read = max(self.seconds, self._end)  # some say how long it is, some when it ends; it may begin late
        if not expected and self.header.seconds and read < _WHOLE * self.header.seconds - _TAIL_S:
            return f"is not whole: {self.seconds:.1f} of {self.header.seconds:.1f} seconds decode"
        return ""

    @property
    def undecodable(self) -> int:
        """How many frames should be there and did not decode, as far as that is known."""
        return max(self.expected() - self._decoded, self._failed, 0)

    @property
    def _time_base(self) -> float:
        return float(self._stream.time_base or 0)

    def _all(self) -> Iterator[VideoFrame]:
        """Frames as they decode; those that a thread held back behind an error are read again without threads."""
        yield from self._decode()
        if self._decoded < self._packets - self._hidden - self._failed and self._stream.codec_context.thread_count != 1:
            seen = self._decoded
            self._container.close()
            self._container, self._stream = _opened(self.clip, threads=1)
            self._packets = self._hidden = self._failed = 0
            for position, frame in enumerate(self._decode()):
                if position >= seen:
                    yield frame

    def _decode(self) -> Iterator[VideoFrame]:
        """Packets to frames; a packet that is broken costs its frame, and the last ones cost no more."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.FFmpegError, OSError, ValueError):  # the file ends, or breaks, where a packet should be
                self._failed += 1
                return
            self._packets += packet.size > 0
            self._hidden += packet.is_discard
            yield from self._frames_of(packet)

    def _frames_of(self, packet: Packet[VideoStream]) -> list[VideoFrame]:
        if packet.is_corrupt:
            self._failed += 1
            return []
        try:
            return self._stream.codec_context.decode(packet if packet.size else None)
        except EOFError:
            return []
        except (av.FFmpegError, OSError, ValueError, MemoryError):
            self._failed += 1
            return []


def _opened(clip: Path, threads: int = 0) -> tuple[InputContainer, VideoStream]:
    """A clip's container and its video, ready to be decoded; 0 threads are as many as there are cores."""
    name = container_of(clip)
    limits = {"max_pixels": str(MAX_PIXELS)}
    try:
        container = av.open(f"file:{clip.absolute()}", format=name, options=limits | {"protocol_whitelist": "file"})
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(clip, f"is damaged: no video can be read from this {name} file", _REMEDY) from error
    try:
        stream = _video(clip, container)
        context = stream.codec_context
        context.options = limits
        context.thread_type, context.thread_count = ThreadType.AUTO, threads
    except BaseException:
        container.close()
        raise
    return container, stream


def _video(clip: Path, container: InputContainer) -> VideoStream:
    """The first video that is no cover picture; all else is left unread."""
    videos = [stream for stream in container.streams if stream.type == "video"]
    films = [stream for stream in videos if not stream.disposition & Disposition.attached_pic]
    if not films:
        kinds = " and ".join(sorted({stream.type for stream in container.streams} - {"video"})) or "nothing"
        held = "a cover picture" if videos else kinds
        raise InputError(clip, f"is not a video: it holds {held} only", _REMEDY)
    chosen = films[0]
    if not isinstance(chosen, VideoStream) or not chosen.codec_context:
        raise InputError(clip, f"its codec ({_unknown_codec(container)}) cannot be decoded here", "convert it to MP4 (H.264)")
    for stream in container.streams:
        if stream is not chosen:
            stream.discard = Discard.all
    return chosen


def _unknown_codec(container: InputContainer) -> str:
    """A codec without a decoder, by name and four characters: "evc, evc1". Only FFmpeg's own description has them."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)  # the description is written as a log
    try:
        description = cast("Any", container).dumps_format()  # its stub leaves it out
    finally:
        av.logging.set_level(level)
    match = re.search(r"Video: (\w+)(?: \((\S+) / 0x)?", description)
    names = [name for name in (match.groups() if match else ()) if name and name != "none"]
    return ", ".join(names) or "unknown"


def _header(clip: Path, container: InputContainer, stream: VideoStream) -> ClipHeader:
    """What the container says, checked against the limits that pictures have."""
    context = stream.codec_context
    try:
        if context.width or context.height:  # a damaged stream may not say before a frame decodes
            check_sides(context.width, context.height, str(clip))
    except BrokenImageError as error:
        raise InputError(clip, f"declares frames of {context.width} x {context.height} pixels", _REMEDY) from error
    return ClipHeader(
        container=container.format.name.split(",")[0],
        codec=_codec(stream),
        width=context.width,
        height=context.height,
        declared=max(stream.frames, 0),
        seconds=_duration(container, stream),
        resolution=float(stream.time_base or 0),
        rate=_rate(stream) or 0.0,
        created=_created({**container.metadata, **stream.metadata}),
        take=read_note(container.metadata),
    )


def _codec(stream: VideoStream) -> str:
    """The codec's own name, not the decoder's: av1, whoever decodes it."""
    return stream.codec_context.codec.canonical_name


def _rate(stream: VideoStream) -> float | None:
    """Frames a second as the container says, where that can be: browsers say 1000."""
    rate = float(stream.average_rate or 0)
    return rate if 0 < rate <= 240 else None  # noqa: PLR2004 the fastest cameras of phones


def _duration(container: InputContainer, stream: VideoStream) -> float:
    """Seconds of the video: its own, or the container's where no other stream can be longer; 0 where neither is said."""
    if stream.duration and stream.time_base:
        return max(float(stream.duration * stream.time_base), 0.0)
    if match := re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", "")):
        hours, minutes, seconds = match.groups()
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    if len(container.streams) == 1 and container.duration:
        return max(container.duration / 1e6, 0.0)
    return 0.0


def _created(metadata: dict[str, str]) -> datetime | None:
    """When the clip was recorded, as its camera says; phones of Apple say it with their time zone."""
    for key in ("com.apple.quicktime.creationdate", "creation_time", "CREATION_TIME", "DATE_RECORDED"):
        try:
            created = datetime.fromisoformat(metadata[key].strip())
        except (KeyError, ValueError):
            continue
        created = created if created.tzinfo else created.replace(tzinfo=UTC)
        if created >= _OLDEST:
            return created
    return None
