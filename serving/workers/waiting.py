"""What waits for a worker: requests take turns; many or large pictures leave most of a worker's time to single small ones.

A client whose request holds many pictures, or huge ones, so costs itself time, and the others none. A picture on which a
worker ended is a suspect: it runs alone, on one worker at a time, and is refused from memory once it has ended two.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from registry.errors import InputError
from serving.bundle.image_header import weigh
from serving.workers.messages import Item

HEAVY = 4_000_000
"""Pixels, weighted by what its kind takes to decode, above which a picture is large: some 40 milliseconds."""

_REST = 3.0
"""After many pictures or a large one a worker leaves so many times its seconds to single small ones."""
_RECENT_S = 2.0
_REMEMBERED = 1024
_SINGLE, _BULK, _LARGE = range(3)


@dataclass(eq=False)
class QueuedPicture:
    """A picture whose caller waits for the answer; `bulk` if its request holds others, too."""

    item: Item
    answer: asyncio.Future[bytes]
    bulk: bool = False
    tries: int = 0

    @cached_property
    def heavy(self) -> bool:
        """Whether it is large. Raises InputError where its header says that it is beyond a bound."""
        shape = self.item.shape
        return (shape[0] * shape[1] if shape else weigh(self.item.data)) > HEAVY

    @property
    def lane(self) -> int:
        """Which lane it waits in: a small picture of its own, one of several, or a large one."""
        return _LARGE if self.heavy else _BULK if self.bulk else _SINGLE

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
    """Until when one worker takes nothing but single small pictures while such come."""

    until: float = 0.0


@dataclass
class PictureQueue:
    """Requests in lanes: single small pictures, small ones of requests with several, large ones; and suspects."""

    clock: Callable[[], float] = time.monotonic
    remembered: BrokenPictures = field(default_factory=BrokenPictures)

    def __post_init__(self) -> None:
        """Nothing waits."""
        self._lanes = [deque[deque[QueuedPicture]]() for _ in range(3)]
        self._counts = [0, 0, 0]
        self._suspects = deque[QueuedPicture]()
        self._suspected: QueuedPicture | None = None
        self._waiting, self._last_single = [0, 0, 0], -_RECENT_S
        self._turn = _LARGE
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """How many pictures wait."""
        return sum(self._waiting)

    def room(self, pictures: int, most: int) -> int:
        """For how many pictures of a request of so many there is room, be they large, small or both: `most` a lane."""
        lanes = (_BULK if pictures > 1 else _SINGLE, _LARGE)
        return sum(max(most - self._waiting[lane], 0) for lane in lanes)

    def has_room(self, pictures: Sequence[QueuedPicture], most: int) -> bool:
        """Whether each picture has room in its own lane, of `most`: large ones take none of what small ones have."""
        wanted = Counter(picture.lane for picture in pictures)
        return all(self._waiting[lane] + count <= most for lane, count in wanted.items())

    def alike(self, picture: QueuedPicture) -> int:
        """How many wait that may run with this one."""
        return 0 if picture.heavy else self._counts[picture.lane]

    def add(self, pictures: Sequence[QueuedPicture], *, first: bool = False) -> None:
        """A request's pictures; `first` for those that were taken and not run."""
        for lane, waiting in enumerate(self._lanes):
            if part := deque(picture for picture in pictures if picture.lane == lane and not picture.tries):
                (waiting.appendleft if first else waiting.append)(part)
                self._counts[lane] += len(part)
                self._last_single = self.clock() if lane == _SINGLE else self._last_single
        self._suspects.extend(picture for picture in pictures if picture.tries)
        for picture in pictures:
            self._waiting[picture.lane] += 1
        self._changed.set()

    async def next(self, rest: Rest) -> QueuedPicture:
        """The next picture for a worker, whose caller still waits."""
        while True:
            if (picture := self._take(rest)) is not None:
                return picture
            self._changed.clear()
            until = min(rest.until, self._last_single + _RECENT_S)
            try:
                async with asyncio.timeout(max(until - self.clock(), 0.01) if any(self._counts) else None):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def take_alike(self, picture: QueuedPicture) -> QueuedPicture | None:
        """Another picture for this one's batch, of the next request in turn."""
        return self._pop(picture.lane)

    def done(self, batch: Sequence[QueuedPicture], rest: Rest, seconds: float) -> None:
        """A worker has finished with these, or ended on them."""
        if self._suspected in batch:
            self._suspected = None
            self._changed.set()
        if any(picture.lane != _SINGLE for picture in batch):
            rest.until = self.clock() + _REST * seconds

    def drain(self) -> list[QueuedPicture]:
        """Everything that waits."""
        requests = [request for lane in self._lanes for request in lane]
        pictures = [picture for request in [*requests, self._suspects] for picture in request]
        self.__post_init__()
        return pictures

    def _take(self, rest: Rest) -> QueuedPicture | None:
        while self._suspects and self._suspected is None:
            if (picture := self._wanted(self._suspects.popleft())) is not None:
                self._suspected = picture
                return picture
        now = self.clock()
        if now >= rest.until or now - self._last_single > _RECENT_S:
            self._turn = _BULK + _LARGE - self._turn
            for lane in (self._turn, _BULK + _LARGE - self._turn):
                if (picture := self._pop(lane)) is not None:
                    return picture
        return self._pop(_SINGLE)

    def _pop(self, lane: int) -> QueuedPicture | None:
        """The next wanted picture of a lane; its request goes to the lane's end."""
        waiting = self._lanes[lane]
        while waiting:
            request = waiting.popleft()
            picture = request.popleft()
            if request:
                waiting.append(request)
            self._counts[lane] -= 1
            if (wanted := self._wanted(picture)) is not None:
                return wanted
        return None

    def _wanted(self, picture: QueuedPicture) -> QueuedPicture | None:
        """None for one whose caller has left, or which is known to break workers."""
        self._waiting[picture.lane] -= 1
        if picture in self.remembered:
            picture.fail(broken())
        return None if picture.answer.done() else picture
