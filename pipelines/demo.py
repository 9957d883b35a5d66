"""The demo: the whole way, once, with real parts."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from pipelines.jobfile import Data, Job, parse_job
from pipelines.sources import CLIP_ENDINGS, IMAGE_ENDINGS, check_source, files_by_class
from registry.errors import ModelyardError, RefusedError
from registry.records import Evaluation, Record
from registry.refs import Ref
from registry.stages import Stage

if TYPE_CHECKING:
    from pipelines.dataset import DataSet, Progress
    from pipelines.wiring import Say, Workshop
    from registry.events import Evaluated, Exported
    from registry.yard import Yard

MODEL = "digits"
_EPOCHS = {"torch": 14, "yolo": 12, "keras": 14}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asked of the demo."""

    clips: Path | None = None
    images: Path | None = None
    group: str | None = None
    trainers: str = "yolo,torch"
    epochs: int | None = None
    imgsz: int = 64

    def check(self) -> None:
        """Find what is wrong with the user's folders and options before any server is started."""
        check_source(self.clips, self.images, self.group)
        if self.clips:
            files_by_class(self.clips, CLIP_ENDINGS, "clips")
        if self.images:
            files_by_class(self.images, IMAGE_ENDINGS, "images")
        self.job(Path("clips"))

    def job(self, clips: Path) -> Job:
        """The demo's job: the template's gates, and the trainers that were asked for."""
        names = [name.strip() for name in self.trainers.split(",") if name.strip()]
        source = self.clips or self.images
        model = source.resolve().name if source else MODEL
        raw = {
            "model": model,
            "train": [{"kind": name, "epochs": self.epochs or _EPOCHS.get(name, 1), "imgsz": self.imgsz} for name in names],
            "gates": {
                "staging": [
                    {"kind": "metric", "name": "top1", "at_least": 0.9},
                    {"kind": "budget", "train_usd": 1.0},
                    {"kind": "data"},
                ],
                "production": [
                    {"kind": "metric", "name": "top1", "at_least": 0.9},
                    {"kind": "champion"},
                    {"kind": "parity"},
                    {"kind": "latency", "p95_ms": 50},
                    {"kind": "size", "max_mb": 40},
                    {"kind": "safety"},
                    {"kind": "card"},
                ],
            },
            "export": [{"kind": "onnx"}, {"kind": "tfjs", "quantize": "float16"}],
            "deploy": {"production": {"kind": "local"}},
        }
        data = Data(clips=clips, images=self.images, group=self.group)
        return parse_job(raw | {"data": data.model_dump()}, "demo")


class Try(Record):
    """One trainer's version and what became of it."""

    ref: str
    trainer: str
    seconds: float
    usd: Decimal
    top1: float
    interval: tuple[float, float]
    outcome: str


class Summary(Record):
    """What the demo did, in figures."""

    data: str
    tries: list[Try]
    parity: list[str]
    latency_p95_ms: float | None
    endpoint: str | None
    predictions: list[str]
    seconds: float


def run_demo(workshop: Workshop, wishes: Wishes, progress: Progress, say: Say) -> Summary:
    """Go the whole way."""
    return _Demo(workshop, wishes, progress, say).run()


class _Demo:
    """The steps, with what they share."""

    def __init__(self, workshop: Workshop, wishes: Wishes, progress: Progress, say: Say) -> None:
        self.workshop, self.wishes, self.progress, self.say = workshop, wishes, progress, say
        self.job = wishes.job(wishes.clips or workshop.settings.home / "demo-clips")

    def run(self) -> Summary:
        began = monotonic()
        data = self.data()
        tries, evaluated = self.train(data)
        yard = self.workshop.yard(self.job, self.say)
        best, *others = sorted(evaluated, key=lambda one: -one.evaluation.metrics["top1"])
        outcomes = {best.label: self.stage(yard, best, Stage.STAGING)}
        if outcomes[best.label] == str(Stage.STAGING):
            outcomes[best.label] = self.stage(yard, best, Stage.PRODUCTION)
        outcomes |= {one.label: self.stage(yard, one, Stage.STAGING) for one in others}
        exported = self.exported(yard, best)
        return Summary(
            data=self.describe(data),
            tries=[one.model_copy(update={"outcome": outcomes[one.ref]}) for one in tries],
            parity=[_parity_line(figures.model_dump()) for figures in exported.parity] if exported else [],
            latency_p95_ms=exported.latency.p95_ms if exported and exported.latency else None,
            endpoint=self.endpoint(best),
            predictions=self.predict(data, best),
            seconds=monotonic() - began,
        )

    def data(self) -> DataSet:
        """Clips to a data set."""
        from pipelines.dataset import build_dataset
        from pipelines.wiring import dataset_folder

        if not (self.wishes.clips or self.wishes.images):
            from pipelines.demo_clips import Film, film_digits

            self.say("filming handwritten digits with a simulated camera")
            film_digits(self.job.data.clips, Film(), self.progress)
        self.say("clips to frames to a data set, split by clip")
        return build_dataset(self.job.data, dataset_folder(self.workshop.settings, self.job), self.progress)

    def train(self, data: DataSet) -> tuple[list[Try], list[Evaluated]]:
        """Train and evaluate each trainer."""
        from pipelines.evaluate import evaluate
        from pipelines.steps import train_all

        trained = train_all(self.workshop, self.job, self.job.train, data, self.progress, self.say)
        tries, evaluated = list[Try](), list["Evaluated"]()
        for event in trained:
            self.say(f"{event.label}: evaluating on the held-out test split")
            ref = Ref(event.model, event.version)
            found = evaluate(self.workshop, ref, data, "test")
            evaluated.append(found)
            tries.append(_try(event.label, event.trainer, event.seconds, event.usd, found.evaluation))
            self.say(str(found))
        return tries, evaluated

    def stage(self, yard: Yard, event: Evaluated, stage: Stage) -> str:
        """Try a promotion; a refusal is an outcome, not an error."""
        from registry.promotion import promote
        from registry.records import Actor

        self.say(f"{event.label}: promoting to {stage}")
        try:
            outcome = promote(yard, Ref(event.model, event.version), stage, Actor("demo"))
        except RefusedError as error:
            self.say(str(error))
            return error.expectation
        if outcome.pending:
            raise ModelyardError(event.label, outcome.pending[0].reason, "see the log")
        return str(stage)

    def exported(self, yard: Yard, event: Evaluated) -> Exported | None:
        """The winner's export, if it came that far."""
        from pipelines.export import standing
        from registry.judging import resolve

        return standing(yard, resolve(yard.store, Ref(event.model, event.version)), event.digest)

    def endpoint(self, event: Evaluated) -> str | None:
        """Where production answers."""
        from pipelines.endpoints import endpoint_name

        live = self.workshop.target().find(endpoint_name(event.model, Stage.PRODUCTION))
        return live.url if live else None

    def predict(self, data: DataSet, event: Evaluated) -> list[str]:
        """Ask production about a few held-out frames, as `modelyard predict` does."""
        from pipelines.predict import predict
        from pipelines.samples import held_out

        if self.endpoint(event) is None:
            return []
        rows = held_out(data, 5)
        answers = predict(self.workshop, f"{event.model}@production", data.files(rows))
        return [f"{row.label} → {a.label} ({a.probability:.2f})" for row, a in zip(rows, answers, strict=True)]

    def describe(self, data: DataSet) -> str:
        """The data set in one line."""
        rows = data.manifest.frames
        return f"{len(rows)} frames of {len({row.clip for row in rows})} clips in {len(data.manifest.labels)} classes"


def _try(ref: str, trainer: str, seconds: float, usd: Decimal, evaluation: Evaluation) -> Try:
    score = evaluation.metrics["top1"]
    return Try(ref=ref, trainer=trainer, seconds=seconds, usd=usd, top1=score, interval=evaluation.interval, outcome="")


def _parity_line(figures: dict[str, float]) -> str:
    return (
        f"{figures['variant']}: agreement {figures['top1_agreement']:.3f} on {figures['images']} images, "
        f"largest difference {figures['max_abs_diff']:.1e}; wrong image {figures['control_agreement']:.2f}"
    )


def demo_lines(summary: Summary, addresses: dict[str, str]) -> None:
    """Print the summary for people."""
    from pipelines.cli.output import table

    rows = [
        (
            t.ref,
            t.trainer,
            f"{t.seconds:.0f} s",
            f"${t.usd}",
            f"{t.top1:.3f} ({t.interval[0]:.3f} to {t.interval[1]:.3f})",
            t.outcome,
        )
        for t in summary.tries
    ]
    table(f"demo: {summary.data}", ["version", "trainer", "training", "cost", "test top-1 (95 % by clip)", "outcome"], rows)
    facts = [("parity", line) for line in summary.parity]
    if summary.latency_p95_ms is not None:
        facts.append(("latency", f"p95 {summary.latency_p95_ms:.1f} ms from image bytes to answer"))
    facts += [("predictions", ", ".join(summary.predictions)), ("took", f"{summary.seconds:.0f} s")]
    facts += [("endpoint", f"{summary.endpoint}/predict")] if summary.endpoint else []
    table("", ["", ""], facts + list(addresses.items()))
