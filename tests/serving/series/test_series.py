"""The time series loses nothing and counts nothing twice, stays small, and is never a reason to stop."""

from __future__ import annotations

import math
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import DamagedFileError, MissingFileError, StorageError
from serving.series import store as store_module
from serving.series.interval import Counters, Interval
from serving.series.reading import Series
from serving.series.schema import COLUMNS, KEPT_S, SPANS, interval_of
from serving.series.store import Look, SeriesStore

DAY = 86_400
START = 1_790_000_100
EDGES = (0.001, 0.01, 0.1, 1.0, math.inf)


def ignore(_: str) -> None:
    """For stores that set nothing aside."""


def counters(requests: int, started: float = 1.0, errors: int = 0, refused: int = 0) -> Counters:
    return Counters(started, requests, errors, refused, {0.1: requests, math.inf: 0}, {0.5: 0, 0.9: requests})


def totals(file: Path) -> dict[str, Interval]:
    """Endpoint → the sum of all its rows, whatever their span."""
    sums = dict[str, Interval]()
    with closing(sqlite3.connect(file)) as db:
        for endpoint, *values in db.execute(f"SELECT endpoint, {COLUMNS} FROM points"):
            sums[endpoint] = sums.get(endpoint, Interval()) + interval_of(values)
    return sums


def rows(file: Path, span: int) -> int:
    with closing(sqlite3.connect(file)) as db:
        return db.execute("SELECT count(*) FROM points WHERE span_s = ?", (span,)).fetchone()[0]


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, str, str, int | None, bool, bool]]:
    """Looks: seconds since the last (also backwards), endpoint, version, new requests or None, a restart, a roll-up."""
    step = st.one_of(st.integers(1, 40), st.integers(-5000, 5000), st.integers(-20 * DAY, 60 * DAY))
    look = st.tuples(
        step,
        st.sampled_from(["hand", "face"]),
        st.sampled_from(["1", "2"]),
        st.one_of(st.none(), st.integers(0, 50)),
        st.booleans(),
        st.booleans(),
    )
    return draw(st.lists(look, min_size=1, max_size=25))


@given(histories())
def test_whatever_comes_and_whenever_it_is_rolled_up_nothing_is_lost_or_counted_twice(tmp_path_factory, history) -> None:
    file, at = tmp_path_factory.mktemp("series") / "metrics.db", START
    expected = dict[str, int]()
    state = {"hand": [1, 0], "face": [1, 0]}  # each one's process, and its count
    seen, starts = dict[str, int](), dict[str, int]()
    first = last = at
    with SeriesStore(file, pytest.fail) as series:
        for seconds, endpoint, version, new, restarts, roll in history:
            if first - 100 * DAY < at + seconds < first + 100 * DAY:
                at += seconds
            last = max(last, at)
            process = state[endpoint]
            if restarts:
                state[endpoint] = process = [process[0] + 1, 0]
            process[1] += new or 0
            look = None if new is None else counters(process[1], started=float(process[0]), errors=process[1] // 2)
            if look is not None:
                known = seen.get(endpoint, 0)
                before = known % 10**6 if known // 10**6 == process[0] else 0
                expected[endpoint] = expected.get(endpoint, 0) + process[1] - before
                starts[endpoint] = starts.get(endpoint, 0) + (known // 10**6 != process[0])
                seen[endpoint] = process[0] * 10**6 + process[1]
            series.add({endpoint: Look(version, look)}, at * 1000, 60_000)
            if roll:
                series.roll_up(at * 1000)
        for later in (0, 2 * DAY, 20 * DAY):
            series.roll_up((last + later) * 1000)
            sums = totals(file)
            for endpoint, requests in expected.items():
                total = sums.get(endpoint, Interval())
                assert (total.requests, total.starts) == (requests, starts[endpoint])
                assert sum(total.latency.values()) == sum(total.scores.values()) == requests
    assert rows(file, SPANS[0]) == 0, "what is older than a day is in longer intervals"


def test_intervals_of_a_version_stay_that_version_s(tmp_path: Path) -> None:
    file = tmp_path / "metrics.db"
    with SeriesStore(file, pytest.fail) as series:
        series.add({"hand": Look("hand/1", counters(5, started=1.0))}, START * 1000, 60_000)
        series.add({"hand": Look("hand/2", counters(7, started=2.0))}, (START + 15) * 1000, 60_000)
        series.roll_up((START + 30 * DAY) * 1000)
    points = Series(file).window("hand", START - 3600, START + 3600, 3600)
    assert {point.version: point.interval.requests for point in points} == {"hand/1": 5, "hand/2": 7}


def test_what_nobody_has_deployed_for_400_days_is_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "metrics.db"
    with SeriesStore(file, pytest.fail) as series:
        for name, day in (("old", 0), ("new", 401)):
            series.add({name: Look("1", counters(1))}, (START + day * DAY) * 1000, 60_000)
        series.roll_up((START + 402 * DAY) * 1000)
    assert [recorded.endpoint for recorded in Series(file).recorded()] == ["new"]
    assert set(totals(file)) == {"new"}


def test_a_year_fits_in_some_thousand_rows_and_a_limit_holds_whatever_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, span = tmp_path / "metrics.db", SPANS[0]
    with SeriesStore(file, pytest.fail) as series:
        series.add({"hand": Look("1", counters(0))}, START * 1000, 60_000)
        many = [
            ("hand", span, (START + 15 * n) // 15 * 15, "1", 1, 0, 0, 0, 0, 15_000, 0, "", "") for n in range(2 * DAY // 15)
        ]
        with closing(sqlite3.connect(file)) as db, db:
            db.executemany(f"INSERT OR REPLACE INTO points VALUES ({', '.join('?' * 13)})", many)
        series.roll_up((START + 2 * DAY) * 1000)
        assert rows(file, span) <= DAY // span + 300 // span
        assert totals(file)["hand"].requests == len(many)
        monkeypatch.setattr(store_module, "MOST_POINTS", 100)
        series.roll_up((START + 2 * DAY) * 1000)
    assert sum(rows(file, span) for span in SPANS) == 100
    newest = Series(file).window("hand", START + 2 * DAY - 60, START + 2 * DAY, 15)
    assert len(newest) == 4, "the oldest go first"
    assert 2 * sum(kept // span for kept, span in zip(KEPT_S, SPANS, strict=True)) + 10**4 > store_module.MOST_POINTS


@pytest.mark.parametrize(
    "make",
    [
        lambda file: file.write_bytes(b"this is no database" * 500),
        lambda file: file.mkdir(),
        os.mkfifo,
        lambda file: sqlite3.connect(file).executescript("CREATE TABLE theirs (x)").close(),
        lambda file: sqlite3.connect(file).executescript("CREATE TABLE points (x); PRAGMA user_version = 1").close(),
        lambda file: sqlite3.connect(file).executescript("CREATE TABLE points (x); PRAGMA user_version = 99").close(),
    ],
    ids=["bytes", "folder", "pipe", "another database", "other tables", "newer"],
)
def test_what_is_no_series_is_set_aside_with_one_line(tmp_path: Path, make) -> None:
    file, lines = tmp_path / "metrics.db", list[str]()
    make(file)
    with pytest.raises(DamagedFileError, match=r"metrics\.db"):
        Series(file).recorded()
    with SeriesStore(file, lines.append) as series:
        series.add({"hand": Look("1", counters(1))}, START * 1000, 60_000)
    assert len(lines) == 1
    assert "kept as metrics.db." in lines[0]
    assert len(Series(file).recorded()) == 1
    assert len([path for path in tmp_path.iterdir() if path.name.startswith(("metrics.db.damaged", "metrics.db.newer"))]) == 1


def test_a_row_that_is_damaged_sets_the_file_aside_while_it_is_written(tmp_path: Path) -> None:
    file, lines = tmp_path / "metrics.db", list[str]()
    with SeriesStore(file, lines.append) as series:
        series.add({"hand": Look("1", counters(1))}, START * 1000, 60_000)
        with closing(sqlite3.connect(file)) as db, db:
            db.execute("UPDATE points SET latency = '{]'")
        with pytest.raises(DamagedFileError):
            Series(file).window("hand", 0, 2 * START, 15)
        series.add({"hand": Look("1", counters(2))}, (START + 1) * 1000, 60_000)
    assert len(lines) == 1
    assert totals(file)["hand"].requests == 2


def test_a_file_that_is_removed_meanwhile_is_made_again(tmp_path: Path) -> None:
    file = tmp_path / "metrics.db"
    with SeriesStore(file, pytest.fail) as series:
        for second in range(2):
            series.add({"hand": Look("1", counters(1))}, (START + second) * 1000, 60_000)
            if not second:
                for path in tmp_path.iterdir():
                    path.unlink()
    assert totals(file)["hand"].requests == 1


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_disk_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o500)
    with SeriesStore(folder / "metrics.db", pytest.fail) as series, pytest.raises(StorageError, match="could not be written"):
        series.add({"hand": Look("1", counters(1))}, START * 1000, 60_000)


def test_a_disk_that_is_full_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "metrics.db"
    with SeriesStore(file, pytest.fail) as series:
        series.add({"hand": Look("1", counters(1))}, START * 1000, 60_000)
        series._db.execute("PRAGMA max_page_count = 1")
        full = {f"hand {number}": Look("1", counters(1)) for number in range(2000)}
        with pytest.raises(StorageError, match="full"):
            series.add(full, (START + 15) * 1000, 60_000)
        series.add({"hand": Look("1", counters(5))}, (START + 30) * 1000, 60_000)
    assert {name: total.requests for name, total in totals(file).items()} == {"hand": 5}


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.iterdir()):
        if not path.name.endswith("-shm"):  # readers note there which part of the log they read
            yield path.name, path.read_bytes()


def test_reading_makes_and_changes_no_file(tmp_path: Path) -> None:
    file = tmp_path / "metrics.db"
    with pytest.raises(MissingFileError):
        Series(file).recorded()
    assert list(tmp_path.iterdir()) == []
    with SeriesStore(file, pytest.fail) as series:
        series.add({"hand": Look("1", counters(1))}, START * 1000, 60_000)
        before = list(contents(tmp_path))
        assert len(Series(file).window("hand", 0, 2 * START, 15)) == 1
        assert list(contents(tmp_path)) == before, "while it is written"
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.db"]
    before = list(contents(tmp_path))
    assert len(Series(file).window("hand", 0, 2 * START, 15)) == 1
    assert list(contents(tmp_path)) == before, "while nobody writes"


def test_what_a_killed_process_wrote_is_there(tmp_path: Path) -> None:
    code = """
import os, sys
from serving.series.store import Look, SeriesStore
from serving.series.interval import Counters
series = SeriesStore(__import__("pathlib").Path(sys.argv[1]), print)
series.add({"hand": Look("1", Counters(1.0, 3, 0, 0, {}, {}))}, 1_790_000_000_000, 60_000)
os.kill(os.getpid(), 9)
"""
    file = tmp_path / "metrics.db"
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", code, str(file)], check=False, cwd=root)
    before = list(contents(tmp_path))
    assert [point.interval.requests for point in Series(file).window("hand", 0, 2 * START, 15)] == [3]
    assert list(contents(tmp_path)) == before
