"""Who is answered next: requests take turns, large pictures leave time to small ones, what broke two workers stays out."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

import pytest

from registry.errors import InputError
from serving.workers.messages import Item
from serving.workers.waiting import PictureQueue, QueuedPicture, Rest, broken

SMALL, LARGE = (10, 10), (3000, 3000)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def in_loop(use: Callable[[PictureQueue, Clock, Callable[..., QueuedPicture]], None]) -> None:
    """Run `use` with a queue, its clock, and a maker of pictures."""

    async def run() -> None:
        clock, loop = Clock(), asyncio.get_running_loop()

        def picture(name: str, shape: tuple[int, int] = SMALL, *, bulk: bool = False) -> QueuedPicture:
            return QueuedPicture(Item(name.encode(), shape), loop.create_future(), bulk)

        use(PictureQueue(clock), clock, picture)

    asyncio.run(run())


def names(queue: PictureQueue, count: int, rest: Rest | None = None) -> list[str]:
    """The next pictures that one worker would take."""
    taken = [queue._take(rest or Rest()) for _ in range(count)]
    return [picture.item.data.decode() if picture else "" for picture in taken]


def spent_by(queue: PictureQueue, clock: Clock, single: Callable[[], QueuedPicture], seconds: float) -> dict[str, float]:
    """What a worker's time goes to, where a single small picture comes whenever one was taken."""
    rest, spent, began = Rest(), {"single": 0.0, "other": 0.0}, clock.now
    while clock.now < began + 100:
        queue.add([single()])
        taken = queue._take(rest)
        assert taken
        name = "single" if taken.item.data == b"single" else "other"
        took = 0.01 if name == "single" else seconds
        clock.now += took
        spent[name] += took
        queue.done([taken], rest, took)
    return spent


def test_requests_take_turns() -> None:
    def use(queue: PictureQueue, _: Clock, picture: Callable[..., QueuedPicture]) -> None:
        for name in "ab":
            queue.add([picture(f"{name}{n}", bulk=True) for n in range(3)])
        queue.add([picture("c")])
        assert (queue.room(2, 10), queue.room(1, 10), len(queue)) == (4 + 10, 9 + 10, 7)
        assert names(queue, 8) == ["a0", "b0", "a1", "b1", "a2", "b2", "c", ""]

    in_loop(use)


@pytest.mark.parametrize("shape", [LARGE, SMALL])
def test_many_pictures_or_large_ones_take_a_quarter_of_a_worker_s_time_while_single_small_ones_come(shape) -> None:
    def use(queue: PictureQueue, clock: Clock, picture: Callable[..., QueuedPicture]) -> None:
        queue.add([picture("other", shape, bulk=True) for _ in range(1000)])
        spent = spent_by(queue, clock, lambda: picture("single"), 1.0 if shape == LARGE else 0.2)
        assert 18 < spent["other"] < 32
        assert spent["single"] > 68
        clock.now += 2.1
        rest = Rest(until=clock.now + 9)
        assert names(queue, 3, rest) == ["other"] * 3  # no single one has come for a while

    in_loop(use)


def test_a_suspect_runs_on_one_worker_at_a_time_and_its_copies_are_refused_after_it() -> None:
    def use(queue: PictureQueue, _: Clock, picture: Callable[..., QueuedPicture]) -> None:
        suspects, copy = [picture("poison"), picture("neighbour")], picture("poison")
        for suspect in suspects:
            suspect.tries = 1
        queue.add(suspects)
        queue.add([copy])
        queue.add([picture("fine")])
        rest = Rest()
        first = queue._take(rest)
        assert first is suspects[0]
        queue.remembered.add(first)
        assert names(queue, 2) == ["fine", ""]
        assert str(copy.answer.exception()) == str(broken())
        queue.done([first], rest, 0.0)
        assert names(queue, 1) == ["neighbour"]

    in_loop(use)


def test_only_so_many_broken_pictures_are_remembered_and_none_is_hashed_before_the_first(monkeypatch) -> None:
    def use(queue: PictureQueue, _: Clock, picture: Callable[..., QueuedPicture]) -> None:
        monkeypatch.setattr("serving.workers.waiting._REMEMBERED", 2)
        unhashed = picture("x")
        assert unhashed not in queue.remembered
        assert "digest" not in vars(unhashed)
        for name in "abc":
            queue.remembered.add(picture(name))
        assert [picture(name) in queue.remembered for name in "abc"] == [False, True, True]
        assert picture("b", (5, 20)) not in queue.remembered

    in_loop(use)


def test_a_worker_that_waits_is_told_of_a_picture_and_of_the_end_of_its_rest() -> None:
    async def run() -> None:
        queue, loop = PictureQueue(), asyncio.get_running_loop()
        waiting = asyncio.create_task(queue.next(Rest()))
        await asyncio.sleep(0)
        small = QueuedPicture(Item(b"x", SMALL), loop.create_future())
        queue.add([small])
        assert await waiting is small
        large = QueuedPicture(Item(b"y", LARGE), loop.create_future())
        queue.add([large])
        async with asyncio.timeout(5):
            assert await queue.next(Rest(until=queue.clock() + 0.05)) is large

    asyncio.run(run())


def test_a_file_is_weighed_by_its_head_alone(picture: Callable[..., bytes]) -> None:
    from serving.bundle.image_header import weigh

    assert weigh(picture(size=(30, 20))) == 600
    assert weigh(picture(size=(30, 20), kind="JPEG")) == 600
    assert weigh(picture(size=(30, 20), kind="BMP")) == 600
    assert weigh(picture(size=(30, 20), kind="WEBP")) == 600 * 8
    assert weigh(b"\xff\xd8\xff\xe0" + struct.pack(">H", 60_000)) == 0
    with pytest.raises(InputError, match="more than 64,000,000 pixels"):
        weigh(picture(size=(9000, 8000), kind="PNG"))
    assert weigh(b"") == weigh(b"RIFF") == weigh(b"BM") == 0
