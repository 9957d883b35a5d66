"""A bundle's answers about many files: decoded and run in parallel, a few at a time, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.queries.answers import Answer
from pipelines.queries.pictures import Picture, pictures_of
from pipelines.queries.scoring.records import ScoredFile, SourceFile
from registry.errors import IntegrityError, ModelyardError, shorten
from serving.bundle.variants import MAIN
from serving.inference.prediction import classified, detected
from serving.inference.runner import Prepared, Runner

if TYPE_CHECKING:
    from serving.bundle.bundle import Bundle

_BATCH = 16
_BATCH_BYTES = 32_000_000
"""Of prepared pictures that are run together: a detector's may be 24 megapixels each."""
_DIGITS = 6
_ABSENT = "is not there for the worker that reads it; put it on storage that every worker sees"

Checkpoint = Callable[[], None]
"""Called between pictures; raises to stop."""


class Outcome(Answer):
    """A row, and the index of the file that it is about. One with an `error` is about the file, and is no row."""

    index: int


def rounded(fields: dict[str, object]) -> dict[str, object]:
    """Probabilities with as many digits as single precision has: the same whichever pictures were run together."""
    probabilities = fields["probabilities"]
    short = (
        {label: round(value, _DIGITS) for label, value in probabilities.items()} if isinstance(probabilities, dict) else None
    )
    probability = fields["probability"]
    boxes = fields.get("boxes")
    return fields | {
        "probability": round(probability, _DIGITS) if isinstance(probability, float) else probability,
        "probabilities": short,
        "boxes": [_rounded_box(box) for box in boxes] if isinstance(boxes, list) else None,
    }


def _rounded_box(box: dict[str, object]) -> dict[str, object]:
    sides, score = box["box"], box["score"]
    assert isinstance(sides, (list, tuple))  # noqa: S101 what `Prediction.plain` gives
    return box | {"score": round(float(str(score)), _DIGITS), "box": [round(float(side), 2) for side in sides]}


@dataclass(frozen=True)
class Scorer:
    """One bundle on the CPU, for several threads at once. `served_by` is what every row names."""

    runner: Runner
    labels: Sequence[str]
    served_by: str
    pool: ThreadPoolExecutor
    parallel: int

    def score(self, files: Sequence[SourceFile], fps: float, checkpoint: Checkpoint) -> Iterator[Outcome]:
        """The rows of each file in order; what is wrong with a file comes as its outcome with an error."""
        pending = deque[Future[list[Outcome]]]()
        try:
            for batch in _batches(_pictures(files, fps)):
                checkpoint()
                pending.append(self.pool.submit(self._answered, batch))
                if len(pending) > self.parallel:
                    yield from pending.popleft().result()
            while pending:
                checkpoint()
                yield from pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

    def _answered(self, batch: list[tuple[int, Picture]]) -> list[Outcome]:
        """One batch: decoded, and run in groups that are small enough."""
        outcomes, ready = list[Outcome](), list[tuple[int, Picture, Prepared]]()
        for index, picture in batch:
            try:
                opened = self.runner.open(picture.read())
                ready.append((index, picture, self.runner.prepare(opened)))
            except Exception as error:  # noqa: BLE001 a decoder's: this file's trouble, not the run's
                outcomes.extend(self._run(ready))
                ready.clear()
                outcomes.append(Outcome(index=index, image=picture.name, error=_reason(error)))
            if sum(prepared.pixels.nbytes for *_, prepared in ready) > _BATCH_BYTES:
                outcomes.extend(self._run(ready))
                ready.clear()
        return [*outcomes, *self._run(ready)]

    def _run(self, ready: list[tuple[int, Picture, Prepared]]) -> list[Outcome]:
        if not ready:
            return []
        rows = self.runner.run([prepared for *_, prepared in ready])
        make = detected if self.runner.detects else classified
        outcomes = list[Outcome]()
        for (index, picture, _), row in zip(ready, rows, strict=True):
            fields = rounded(make(self.labels, row.tolist()).plain())
            about = {"image": picture.name, "frame": picture.frame, "seconds": picture.seconds}
            outcomes.append(Outcome.model_validate({"index": index, "served_by": self.served_by, **about, **fields}))
        return outcomes


def scorer_of(bundle: Bundle, served_by: str, workers: int, pool: ThreadPoolExecutor) -> Scorer:
    """A bundle, loaded once for all threads of a pool, each of which runs it by itself."""
    runner = Runner(bundle.variant(MAIN.name), bundle.preprocess, 1, fitted=True)
    return Scorer(runner, bundle.labels, served_by, pool, workers)


def rows_by_file(
    files: Sequence[SourceFile], outcomes: Iterable[Outcome], write: Callable[[bytes], object]
) -> list[ScoredFile]:
    """Write each row as a line of JSON, and tell where each file's lines lie, and what is wrong with it."""
    scored, start = [ScoredFile(**file.model_dump()) for file in files], 0
    for outcome in outcomes:
        entry = scored[outcome.index]
        if outcome.error is not None:
            scored[outcome.index] = entry.model_copy(update={"error": outcome.error})
            continue
        line = outcome.model_dump_json(exclude={"index", "could_be", "error"}).encode() + b"\n"
        write(line)
        begin = entry.start if entry.rows else start
        start += len(line)
        update = {"start": begin, "length": start - begin, "rows": entry.rows + 1}
        scored[outcome.index] = entry.model_copy(update=update)
    return scored


def _pictures(files: Sequence[SourceFile], fps: float) -> Iterator[tuple[int, Picture]]:
    for index, file in enumerate(files):
        path = Path(file.file)
        if file.size >= 0 and not path.exists():
            yield index, Picture(str(path), _absent)
            continue
        for picture in pictures_of(path, fps):
            yield index, picture


def _absent() -> bytes:
    raise IntegrityError("file", *_ABSENT.split("; "))


def _batches(pictures: Iterable[tuple[int, Picture]]) -> Iterator[list[tuple[int, Picture]]]:
    batch = list[tuple[int, Picture]]()
    for item in pictures:
        batch.append(item)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _reason(error: Exception) -> str:
    """What is wrong with a file, and what helps. A model that cannot run is no file's fault."""
    if isinstance(error, ModelyardError):
        return f"{error.expectation}; {error.remedy}"
    return f"cannot be decoded ({shorten(error, 120) or type(error).__name__}); give a whole file"
