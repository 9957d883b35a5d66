"""Which frames a rate keeps, against FFmpeg's own `fps` filter."""

from __future__ import annotations

from fractions import Fraction

import av
import av.filter
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.data.video.ticks import Clock, Ticks

UNIT = Fraction(1, 1000)


def kept(times: list[int], fps: float, resolution: float = 0.0) -> list[int]:
    ticks, clock = Ticks(fps, resolution), Clock(0.04)
    return [at for at in times if ticks.wants(clock.at(at / 1000))]


def ticks_with_a_new_frame(times: list[int], fps: int) -> list[int]:
    """The output frames of `fps=N:round=down` that show another picture than the one before."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=16, height=16, format="gray", time_base=UNIT)
    rate = graph.add("fps", f"fps={fps}:round=down")
    sink = graph.add("buffersink")
    source.link_to(rate)
    rate.link_to(sink)
    graph.configure()
    for number, at in enumerate([*times, times[-1] + 20_000]):  # the filter shows a frame when the next has come
        frame = av.VideoFrame.from_ndarray(np.full((16, 16), number, np.uint8), format="gray")
        frame.pts, frame.time_base = at, UNIT
        graph.push(frame)
    graph.push(None)
    numbers, last = list[int](), -1
    while True:
        try:
            frame = graph.pull()
        except (EOFError, BlockingIOError):
            return numbers
        if (shown := int(frame.to_ndarray()[0, 0])) not in {last, len(times)}:
            numbers.append(frame.pts)
        last = shown


gaps = st.lists(st.one_of(st.integers(1, 60), st.sampled_from([33, 34, 40, 500, 1700])), min_size=1, max_size=60)


@settings(deadline=None)
@given(gaps, st.sampled_from([1, 2, 4, 5, 10, 25]))
def test_a_rate_keeps_a_frame_for_each_tick_for_which_ffmpeg_has_a_new_one(spans: list[int], fps: int) -> None:
    times = [0, *(int(total) for total in np.cumsum(spans))]
    assert [at * fps // 1000 for at in kept(times, fps)] == ticks_with_a_new_frame(times, fps)


@pytest.mark.parametrize("rate", [24, 25, 29.97, 30, 50, 59.94, 60, 120])
@pytest.mark.parametrize("resolution", [1e-3, 1 / 90000])
def test_rounding_of_stored_times_costs_no_frame(rate: float, resolution: float) -> None:
    times = [round(number / rate / resolution) * resolution for number in range(300)]
    ticks = Ticks(rate, resolution)
    assert sum(ticks.wants(at) for at in times) == 300
    slower = Ticks(5, resolution)
    assert sum(slower.wants(at) for at in times) == int(299 / rate * 5 + 1e-6) + 1


def test_a_slow_half_is_kept_whole_and_nothing_is_repeated() -> None:
    times = [*range(0, 1000, 33), *range(1200, 6000, 500)]
    assert [sum(at // 1000 == second for at in kept(times, 5)) for second in range(6)] == [5, 2, 2, 2, 2, 2]


@given(st.lists(st.one_of(st.none(), st.integers(-(2**62), 2**62)), max_size=30), st.floats(0.01, 120))
def test_any_timestamps_give_times_that_can_be_used(stored: list[int | None], fps: float) -> None:
    ticks, clock = Ticks(fps, 1e-3), Clock(0.04)
    for at in stored:
        seconds = clock.at(None if at is None else at / 1000)
        assert seconds >= 0
        ticks.wants(seconds)
    assert clock.latest >= 0


def test_a_recording_behind_another_goes_on_where_the_other_ended() -> None:
    clock = Clock(0.5)
    assert [clock.at(at) for at in (7.0, 7.5, 9.0, 0.0, 0.5, None, 1.5)] == [0, 0.5, 2, 2.5, 3, 3.5, 4]
    assert [Clock(0.5).at(at) for at in (0.0,)] == [0]


def test_frames_that_are_stored_a_little_out_of_order_keep_their_times() -> None:
    clock = Clock(0.04)
    assert [round(clock.at(at), 3) for at in (0.0, 0.101, 0.067, 0.134)] == [0, 0.101, 0.067, 0.134]
