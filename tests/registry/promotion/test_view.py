"""The view of a ledger that many threads of MLflow's server share."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.events import Archived, Flipped, Promoted
from registry.memory import MemoryEntry, MemoryLedger
from registry.opening import ledger_of
from registry.promotion.due import View
from registry.promotion.state import fold
from registry.settings import Settings
from registry.stages import Stage

THREADS = 8


class SlowLedger(MemoryLedger):
    """A ledger that lets other threads run before it answers, as a database does."""

    def entries(self, model: str | None = None, after: int = 0) -> Sequence[MemoryEntry]:
        rows = super().entries(model, after)
        time.sleep(0.0002)
        return rows


@pytest.fixture(autouse=True)
def _eager_switching():
    """Threads take turns so often that what is not locked shows."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def event(model: str, version: int, kind: int) -> Promoted | Flipped | Archived:
    key = {"model": model, "version": version, "created_ms": version, "digest": "d" * 64}
    if kind == 0:
        return Promoted(**key, stage=Stage.STAGING, previous=None, actor="ada", findings=[], proof=None)
    if kind == 1:
        return Flipped(**key, stage=Stage.STAGING, actor="ada", previous=None)
    return Archived(**key, actor="ada")


@pytest.mark.parametrize("after", [0, 1, 2, 3, 5, 8])
@pytest.mark.parametrize("before", [1, 3, 5])
def test_a_view_follows_a_ledger_that_was_begun_anew_whatever_came_before(tmp_path: Path, before: int, after: int) -> None:
    here = Settings(home=tmp_path)
    view = View(ledger_of(here))
    ledger_of(here).append_all([event("hand", number, number % 2) for number in range(before)])
    view.refresh()
    assert len(view.rows("hand")) == before
    ledger_of(here).begin_anew()
    if after:
        ledger_of(here).append_all([event("foot", 100 + number, 0) for number in range(after)])
    view.refresh()
    assert [row.event.version for row in view.rows("foot")] == [100 + number for number in range(after)]
    assert (view.models(), view.rows("hand")) == ({"foot"} if after else set(), ())
    assert view.state("hand") == fold([])
    ledger_of(here).append(event("foot", 200, 0))
    view.refresh()
    assert [row.event.version for row in view.rows("foot")][after:] == [200]


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["hand", "foot"]), st.integers(1, 3), st.integers(0, 2)), min_size=20, max_size=120))
def test_many_threads_see_each_row_once_and_the_state_that_one_thread_sees(rows: list[tuple[str, int, int]]) -> None:
    ledger, start = SlowLedger(), threading.Barrier(THREADS + 1)
    view = View(ledger)

    def read() -> None:
        start.wait()
        for _ in range(20):
            view.refresh()
            for model in view.models():
                view.state(model)
                numbers = [entry.seq for entry in view.rows(model)]
                assert numbers == sorted(set(numbers))

    def write() -> None:
        start.wait()
        for row in rows:
            ledger.append(event(*row))

    with ThreadPoolExecutor(THREADS + 1) as pool:
        for ended in [pool.submit(write), *(pool.submit(read) for _ in range(THREADS))]:
            ended.result()
    view.refresh()
    assert {model: len(view.rows(model)) for model in view.models()} == Counter(model for model, _, _ in rows)
    for model in view.models():
        assert view.state(model) == fold(ledger.entries(model))
