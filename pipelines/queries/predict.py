"""Asking a deployed endpoint, a URL, or a version's bundle what pictures show."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.queries.answers import Answer
from pipelines.queries.asking import Asker, BundleAsker, CloudAsker
from pipelines.queries.could_be import PredictionSetOf
from pipelines.queries.pictures import Picture, Sources, sources_of
from registry.errors import ModelyardError, NotFoundError, RefusedError, UnavailableError, shorten
from registry.events import Deployed, Exported
from registry.promotion.state import fold
from registry.promotion.verdict import resolve
from registry.records import ModelVersion
from registry.refs import Ref, endpoint_name, parse_ref
from registry.reports.endpoints import last_deployed
from registry.stages import ALIASES, Stage
from serving.targets.http_asker import Fields, HttpAsker

if TYPE_CHECKING:
    from pipelines.deployment.targets import Targets
    from registry.protocols import Ledger, Store
    from serving.bundle.bundle import Bundle

FPS = 5.0
"""Frames of each second of a video that are asked about, as in a job's data."""
_Outcome = tuple[Answer, ModelyardError | None]
_PARALLEL = 8
"""Pictures in flight at an endpoint."""
_GIVE_UP = 3
"""After so many pictures in a row for which nobody answered, the rest is not asked."""


def is_address(ref_or_url: str) -> bool:
    """Whether somebody's endpoint is named, of which our ledger knows nothing."""
    return ref_or_url.startswith(("http://", "https://"))


def _no_progress(_done: int, _of: int) -> None:
    """For callers that show no progress."""


@dataclass(frozen=True)
class Prediction:
    """Asks for predictions. The store is opened late: an endpoint's address needs no server.

    `headers` carry our key, and go to our own endpoints alone.
    """

    ledger: Callable[[], Ledger]
    store: Callable[[], Store]
    targets: Targets
    headers: Mapping[str, str]

    def predict(self, ref_or_url: str, images: Sequence[Path]) -> list[Answer]:
        """One answer a picture; a stage is asked at its endpoint, anything else is answered from its bundle, here."""
        return list(self.answers(ref_or_url, sources_of(images)))

    def answers(
        self, ref_or_url: str, sources: Sources, fps: float = FPS, done: Callable[[int, int], None] = _no_progress
    ) -> Iterator[Answer]:
        """Answers in the order of the pictures, as they come; what is wrong with one picture is that picture's `error`.

        Raises ModelyardError where nothing could be asked: nobody answers at all, or there is no such version.
        """
        ask, parallel = self._asker(ref_or_url)
        with closing(ask):
            answers = _held_back(_in_order(ask, sources.pictures(fps, done), parallel))
            yield from answers if is_address(ref_or_url) else map(self._sets_of(ref_or_url).of, answers)

    def _sets_of(self, ref: str) -> PredictionSetOf:
        model = parse_ref(ref).model
        return PredictionSetOf(model, lambda: self.ledger().entries(model))

    def _asker(self, ref_or_url: str) -> tuple[Asker, int]:
        """Who is asked, and about how many pictures at once."""
        if is_address(ref_or_url):
            return HttpAsker(ref_or_url), _PARALLEL
        ref = parse_ref(ref_or_url)
        if (event := self._deployed(ref)) and event.target != "local":
            return self._cloud(event), _PARALLEL
        if ref.alias in ALIASES and (url := self._local_address(ref)):
            return HttpAsker(url, self.headers), _PARALLEL
        version, bundle = last_bundle(self.store(), self.ledger(), ref)
        return BundleAsker(bundle, f"{version.ref} here"), 1  # ONNX Runtime takes all cores for one picture

    def _deployed(self, ref: Ref) -> Deployed | None:
        """Where a stage was deployed last."""
        if ref.alias not in ALIASES:
            return None
        return last_deployed(self.ledger().entries(ref.model), Stage(ref.alias))

    def _cloud(self, event: Deployed) -> CloudAsker:
        """The provider's endpoint, asked as its clients do."""
        target = self.targets.of(event)
        live = target.find(endpoint_name(event.model, event.stage))
        if live is None:
            remedy = f"run `modelyard deploy {event.label} --stage {event.stage}`"
            raise NotFoundError(f"endpoint of {event.model}@{event.stage}", f"is not at {event.target}", remedy)
        return CloudAsker(target.ask(live), f"{live.model}/{live.version} at {live.url}")

    def _local_address(self, ref: Ref) -> str | None:
        """The address of a stage's endpoint on this machine, if it answers."""
        target = self.targets.local()
        live = target.find(endpoint_name(ref.model, str(ref.alias)))
        return live.url if live and target.answers(live) else None


def _in_order(ask: Callable[[bytes], Fields], pictures: Iterable[Picture], parallel: int) -> Iterator[_Outcome]:
    """Each picture's answer, with the error where there is none. No more than `parallel` pictures are held at a time."""
    pending, silent = deque[tuple[Picture, Future[Fields]]](), 0
    pool = ThreadPoolExecutor(parallel, thread_name_prefix="predict")
    rest = iter(pictures)
    try:
        while silent < _GIVE_UP:
            for picture in islice(rest, parallel - len(pending)):
                pending.append((picture, pool.submit(_ask, ask, picture)))
            if not pending:
                return
            answer, error = _settled(*pending.popleft())
            silent = silent + 1 if isinstance(error, UnavailableError) else 0
            yield answer, error
        for picture, future in pending:
            yield _not_asked(picture) if future.cancel() else _settled(picture, future)
        yield from map(_not_asked, rest)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _ask(ask: Callable[[bytes], Fields], picture: Picture) -> Fields:
    return ask(picture.read())


def _settled(picture: Picture, future: Future[Fields]) -> _Outcome:
    about = {"image": picture.name, "frame": picture.frame, "seconds": picture.seconds}
    try:
        return Answer(**about, **future.result()), None
    except ModelyardError as error:
        return Answer(**about, error=f"{error.expectation}; {error.remedy}"), error
    except Exception as error:  # noqa: BLE001 whatever it is, it costs one row
        return Answer(**about, error=f"failed: {shorten(error, 160) or type(error).__name__}"), None


def _not_asked(picture: Picture) -> _Outcome:
    about = {"image": picture.name, "frame": picture.frame, "seconds": picture.seconds}
    return Answer(**about, error=f"was not asked; the endpoint did not answer {_GIVE_UP} times in a row"), None


def _held_back(answers: Iterable[_Outcome]) -> Iterator[Answer]:
    """Answers as they come, from the first good one on: where nobody answered at all, that error alone is the outcome."""
    waiting, gone, answered = list[Answer](), None, False
    for answer, error in answers:
        if isinstance(error, UnavailableError):
            gone = gone or error
        answered = answered or answer.error is None
        waiting.append(answer)
        if answered:
            yield from waiting
            waiting.clear()
    if gone and not answered:
        raise gone
    yield from waiting


def last_bundle(store: Store, ledger: Ledger, ref: Ref) -> tuple[ModelVersion, Bundle]:
    """A version and its last bundle; of a stage only what was ratified for it."""
    from pipelines.bundles.store import open_exported

    version = resolve(store, ref)
    entries = ledger.entries(version.model)
    if ref.alias in ALIASES and fold(entries).ratification_of(version, Stage(ref.alias)) is None:
        raise RefusedError(ref, f"{version.ref} was not ratified for it", f"run `modelyard promote {version.ref} {ref.alias}`")
    exports = [
        entry.event
        for entry in entries
        if isinstance(entry.event, Exported) and entry.event.identity == version.identity and entry.flaw is None
    ]
    if not exports:
        raise NotFoundError(version.ref, "has no bundle", f"run `modelyard export {version.ref}`")
    return version, open_exported(exports[-1])
