"""`modelyard live`: a version's bundle looks at a camera, a stream or a video, in this process."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.queries.could_be import PredictionSetOf
from pipelines.queries.live.loop import DrawnSink, FrameSink, Loop, Progress
from pipelines.queries.live.overlay import Overlay
from pipelines.queries.live.predictor import FramePredictor
from pipelines.queries.live.records import FrameAnswer, LiveOptions, LiveSummary
from pipelines.queries.live.sources import PictureSource, Source, open_source
from pipelines.queries.live.stop import Stop
from pipelines.queries.live.video import check_video, writing_video
from pipelines.queries.live.window import Window
from pipelines.queries.predict import is_address, last_bundle
from registry.errors import InputError, ModelyardError
from registry.refs import parse_ref

if TYPE_CHECKING:
    from registry.protocols import Ledger, Store

Watch = Callable[[FrameAnswer, int], None]
"""Is given each answer, and how many frames there will be; 0 is unknown."""


@dataclass(frozen=True)
class Live:
    """Looks at sources. The store is opened late: what is refused before needs no server."""

    ledger: Callable[[], Ledger]
    store: Callable[[], Store]

    def live(self, model: str, source: str, options: LiveOptions, watch: Watch) -> tuple[LiveSummary, ModelyardError | None]:
        """Look until the source ends, enough was seen, or Ctrl-C; what was seen, and why the source broke off, if it did.

        A video of a source that broke off is whole, up to there. Raises ModelyardError where not one frame was seen, and
        where the video cannot be written; then there is none.
        """
        if is_address(model):
            raise InputError(model, "is an address", "name a version, such as hand@production: its bundle runs here")
        ref = parse_ref(model)
        if options.out:
            check_video(options.out, source, overwrite=options.overwrite)
        with _window(options) as window:
            version, bundle = last_bundle(self.store(), self.ledger(), ref)
            sets = PredictionSetOf(ref.model, lambda: self.ledger().entries(ref.model))
            predictor = FramePredictor(bundle, f"{version.ref} here", sets.of, options.threshold)
            with closing(open_source(source)) as opened:
                progress = _seen(opened, predictor, window, options, watch)
                if progress.failure and not progress.frames:
                    raise progress.failure
                return _summary(str(version.ref), opened, progress, options), _after(progress, options)


def _seen(source: Source, predictor: FramePredictor, window: Window | None, options: LiveOptions, watch: Watch) -> Progress:
    """Look at a source that is open; Ctrl-C is the usual end from here on."""
    overlay, drawn = Overlay(predictor.labels), list[DrawnSink]()
    with Stop() as stop, ExitStack() as stack:
        if window:
            drawn.append(lambda picture, seconds: window.show(picture, stop, None if source.is_live else seconds))
        if options.out:
            film = stack.enter_context(writing_video(options.out, source.name, overwrite=options.overwrite))
            drawn.append(film.add)
        answers: tuple[FrameSink, ...] = (lambda answer: watch(answer, _expected(source, options)),)
        progress = Loop(source, predictor, overlay, stop, options, answers, tuple(drawn)).run()
        if window and isinstance(source, PictureSource):
            window.hold(stop)
    return progress


def _expected(source: Source, options: LiveOptions) -> int:
    """How many frames there will be, as far as that is known; 0 otherwise."""
    if options.seconds is not None:
        return options.frames or 0
    return min(filter(None, (options.frames, source.expected)), default=0)


@contextmanager
def _window(options: LiveOptions) -> Generator[Window | None]:
    """A window if one is wanted, before anything slow is done: it may not be possible."""
    if not options.window:
        yield None
        return
    with closing(Window()) as window:
        yield window


def _summary(model: str, source: Source, progress: Progress, options: LiveOptions) -> LiveSummary:
    return LiveSummary(
        model=model,
        source=source.name,
        frames=progress.frames,
        dropped=source.dropped,
        unsure=progress.unsure,
        seconds=round(progress.seconds, 3),
        per_second=round(progress.per_second, 1),
        latency_p50_ms=round(progress.latency(50), 2),
        latency_p95_ms=round(progress.latency(95), 2),
        ended=progress.ended,
        out=str(options.out) if options.out and progress.frames else None,
    )


def _after(progress: Progress, options: LiveOptions) -> ModelyardError | None:
    """Why the source broke off, after how many frames, and what is left of them."""
    if not (error := progress.failure):
        return None
    kept = f"; the video up to there is {options.out}" if options.out else ""
    counted = f"{progress.frames} frame{'' if progress.frames == 1 else 's'}"
    return type(error)(error.subject, f"{error.expectation}, after {counted}", f"{error.remedy}{kept}")
