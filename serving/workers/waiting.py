"""What waits for a worker: requests take turns, large pictures leave half of a worker's time to small ones.

A client whose request holds many pictures, or huge ones, so costs itself time, and the others none. A picture on which a
worker ended is a suspect: it runs alone, on one worker at a time, and is refused from memory once it has ended two.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from registry.errors import InputError
from serving.bundle.image_header import weigh
from serving.workers.messages import Item

HEAVY = 4_000_000
"""Pixels, weighted by what its kind takes to decode, above which a picture is large: some 40 milliseconds."""

_REST = 2.0
"""After a large picture a worker leaves so many times its seconds to small ones."""
_RECENT_S = 2.0
_REMEMBERED = 1024


@dataclass(eq=False)
class QueuedPicture:
    """A picture whose caller waits for the answer; `bulk` if its request holds others, too."""

    item: Item
    answer: asyncio.Future[bytes]
    bulk: bool = False
    tries: int = 0

    @cached_property
    def heavy(self) -> bool:
        """Whether it is large."""
        shape = self.item.shape
        return (shape[0] * shape[1] if shape else weigh(self.item.data)) > HEAVY

    @cached_property
    def digest(self) -> bytes:
        """What it is remembered by."""
        return hashlib.sha256(repr(self.item.shape).encode() + self.item.data).digest()

    def fail(self, error: Exception) -> None:
        """Give the caller an error, if it still waits."""
        if not self.answer.done():
            self.answer.set_exception(error)


class BrokenPictures:
    """Digests of the last pictures that ended two workers. No picture is hashed while there are none."""

    def __init__(self) -> None:
        """Nothing is remembered."""
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def add(self, picture: QueuedPicture) -> None:
        """Remember it, and forget the oldest beyond a thousand."""
        self._digests[picture.digest] = None
        if len(self._digests) > _REMEMBERED:
            self._digests.popitem(last=False)

    def __contains__(self, picture: QueuedPicture) -> bool:
        """Whether it is one of them."""
        if not self._digests or picture.digest not in self._digests:
            return False
        self._digests.move_to_end(picture.digest)
        return True


def broken() -> InputError:
    """What its sender is told."""
    return InputError("image", "broke the worker that read it", "send another file")


@dataclass
class Rest:
    """Until when one worker takes no large picture while small ones come."""

    until: float = 0.0


@dataclass
class PictureQueue:
    """Requests in three lanes: small pictures, large ones, and suspects."""

    clock: Callable[[], float] = time.monotonic
    remembered: BrokenPictures = field(default_factory=BrokenPictures)

    def __post_init__(self) -> None:
        """Nothing waits."""
        self._light, self._heavy = deque[deque[QueuedPicture]](), deque[deque[QueuedPicture]]()
        self._suspects = deque[QueuedPicture]()
        self._suspected: QueuedPicture | None = None
        self._light_count, self._bulk, self._single, self._last_light = 0, 0, 0, -_RECENT_S
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """How many pictures wait."""
        return self._bulk + self._single

    def waiting(self, *, bulk: bool) -> int:
        """How many wait of requests with several pictures, or of those with one."""
        return self._bulk if bulk else self._single

    @property
    def light(self) -> int:
        """How many small ones wait."""
        return self._light_count

    def add(self, pictures: Sequence[QueuedPicture], *, first: bool = False) -> None:
        """A request's pictures; `first` for those that were taken and not run."""
        for heavy, lane in ((False, self._light), (True, self._heavy)):
            if part := deque(picture for picture in pictures if picture.heavy == heavy and not picture.tries):
                (lane.appendleft if first else lane.append)(part)
                if not heavy:
                    self._light_count, self._last_light = self._light_count + len(part), self.clock()
        self._suspects.extend(picture for picture in pictures if picture.tries)
        for picture in pictures:
            self._count(picture, 1)
        self._changed.set()

    async def next(self, rest: Rest) -> QueuedPicture:
        """The next picture for a worker, whose caller still waits."""
        while True:
            if (picture := self._take(rest)) is not None:
                return picture
            self._changed.clear()
            try:
                async with asyncio.timeout(max(rest.until - self.clock(), 0.01) if self._heavy else None):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def take_light(self) -> QueuedPicture | None:
        """Another small picture for a batch, of the next request in turn."""
        while self._light:
            request = self._light.popleft()
            picture = request.popleft()
            if request:
                self._light.append(request)
            self._light_count -= 1
            if (picture := self._wanted(picture)) is not None:
                return picture
        return None

    def done(self, batch: Sequence[QueuedPicture], rest: Rest, seconds: float) -> None:
        """A worker has finished with these, or ended on them."""
        if self._suspected in batch:
            self._suspected = None
            self._changed.set()
        if any(picture.heavy for picture in batch):
            rest.until = self.clock() + _REST * seconds

    def drain(self) -> list[QueuedPicture]:
        """Everything that waits."""
        lanes = [*self._light, *self._heavy, self._suspects]
        pictures = [picture for lane in lanes for picture in lane]
        self.__post_init__()
        return pictures

    def _take(self, rest: Rest) -> QueuedPicture | None:
        while self._suspects and self._suspected is None:
            if (picture := self._wanted(self._suspects.popleft())) is not None:
                self._suspected = picture
                return picture
        now = self.clock()
        while self._heavy and (now >= rest.until or now - self._last_light > _RECENT_S):
            request = self._heavy.popleft()
            picture = request.popleft()
            if request:
                self._heavy.append(request)
            if (picture := self._wanted(picture)) is not None:
                return picture
        return self.take_light()

    def _wanted(self, picture: QueuedPicture) -> QueuedPicture | None:
        """None for one whose caller has left, or which is known to break workers."""
        self._count(picture, -1)
        if picture in self.remembered:
            picture.fail(broken())
        return None if picture.answer.done() else picture

    def _count(self, picture: QueuedPicture, change: int) -> None:
        if picture.bulk:
            self._bulk += change
        else:
            self._single += change
