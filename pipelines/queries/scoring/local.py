"""Scoring in this process: threads decode and run the model, a few files at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TYPE_CHECKING

from pipelines.queries.scoring.records import ScoredFile, Unit
from pipelines.queries.scoring.scorer import Scorer, rows_by_file, scorer_of

if TYPE_CHECKING:
    from pipelines.queries.scoring.parts import Parts
    from serving.bundle.bundle import Bundle


class _StoppedError(Exception):
    """Another thread failed, or the user stopped it."""


def score_here(
    bundle: Bundle, served_by: str, fps: float, parts: Parts, workers: int
) -> Callable[[Iterable[Unit]], Generator[list[ScoredFile]]]:
    """Score units on this machine, each into a part; what became of the files of each, as units are finished."""

    def run(units: Iterable[Unit]) -> Generator[list[ScoredFile]]:
        stopping = threading.Event()

        def checkpoint() -> None:
            if stopping.is_set():
                raise _StoppedError

        with (
            ThreadPoolExecutor(workers, thread_name_prefix="model") as pool,
            ThreadPoolExecutor(workers, thread_name_prefix="read") as readers,
        ):
            scorer = scorer_of(bundle, served_by, workers, pool)
            try:
                yield from _settled(readers, units, lambda unit: _part(scorer, unit, fps, parts, checkpoint), 2 * workers)
            finally:
                stopping.set()

    return run


def _settled(
    pool: ThreadPoolExecutor, units: Iterable[Unit], work: Callable[[Unit], list[ScoredFile]], most: int
) -> Iterator[list[ScoredFile]]:
    """The results as they come; no more than `most` units are begun."""
    rest, pending = iter(units), set[Future[list[ScoredFile]]]()
    while True:
        pending |= {pool.submit(work, unit) for unit in islice(rest, most - len(pending))}
        if not pending:
            return
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            yield future.result()


def _part(scorer: Scorer, unit: Unit, fps: float, parts: Parts, checkpoint: Callable[[], None]) -> list[ScoredFile]:
    """One unit, its answers written as they come."""
    with parts.rows_path(unit.number).open("wb") as file:
        files = rows_by_file(unit.files, scorer.score(unit.files, fps, checkpoint), file.write)
    parts.finish(unit.number, files)
    return files
