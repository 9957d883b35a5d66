"""The demo: the whole way, once, with real parts."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from pipelines.data.sources import CLIP_ENDINGS, IMAGE_ENDINGS, check_source, files_by_class
from pipelines.job.jobfile import Data, Job, parse_job
from registry.errors import ModelyardError, RefusedError
from registry.records import Evaluation, Record
from registry.refs import Ref
from registry.stages import Stage

if TYPE_CHECKING:
    from pipelines.data.dataset import DataSet, Progress
    from pipelines.home import Say, Workshop
    from registry.events import Evaluated, Exported
    from registry.promotion.context import PromotionContext

MODEL = "digits"
_EPOCHS = {"torch": 14, "yolo": 12, "keras": 14}


@dataclass(frozen=True, slots=True)
class DemoOptions:
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


class DemoVersion(Record):
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
    tries: list[DemoVersion]
    parity: list[str]
    latency_p95_ms: float | None
    endpoint: str | None
    predictions: list[str]
    seconds: float


def run_demo(workshop: Workshop, wishes: DemoOptions, progress: Progress, say: Say) -> Summary:
    """Go the whole way."""
    return _Demo(workshop, wishes, progress, say).run()


class _Demo:
    """The steps, with what they share."""

    def __init__(self, workshop: Workshop, wishes: DemoOptions, progress: Progress, say: Say) -> None:
        self.workshop, self.wishes, self.progress, self.say = workshop, wishes, progress, say
        self.job = wishes.job(wishes.clips or workshop.settings.home / "demo-clips")

    def run(self) -> Summary:
        began = monotonic()
        data = self.data()
        tries, evaluated = self.train(data)
        context = self.workshop.full_context(self.job, self.say)
        best, *others = sorted(evaluated, key=lambda one: -one.evaluation.metrics["top1"])
        outcomes = {best.label: self.stage(context, best, Stage.STAGING)}
        if outcomes[best.label] == str(Stage.STAGING):
            outcomes[best.label] = self.stage(context, best, Stage.PRODUCTION)
        outcomes |= {one.label: self.stage(context, one, Stage.STAGING) for one in others}
        exported = self.exported(context, best)
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
        from pipelines.data.dataset import build_dataset
        from pipelines.home import dataset_folder

        if not (self.wishes.clips or self.wishes.images):
            from pipelines.demo.clips import Film, film_digits

            self.say("filming handwritten digits with a simulated camera")
            film_digits(self.job.data.clips, Film(), self.progress)
        self.say("clips to frames to a data set, split by clip")
        return build_dataset(self.job.data, dataset_folder(self.workshop.settings, self.job), self.progress)

    def train(self, data: DataSet) -> tuple[list[DemoVersion], list[Evaluated]]:
        """Train and evaluate each trainer."""
        from pipelines.evaluation.evaluate import evaluate
        from pipelines.training.job import train_all

        trained = train_all(self.workshop, self.job, self.job.train, data, self.progress, self.say)
        tries, evaluated = list[DemoVersion](), list["Evaluated"]()
        for event in trained:
            self.say(f"{event.label}: evaluating on the held-out test split")
            ref = Ref(event.model, event.version)
            found = evaluate(self.workshop, ref, data, "test")
            evaluated.append(found)
            tries.append(_demo_version(event.label, event.trainer, event.seconds, event.usd, found.evaluation))
            self.say(str(found))
        return tries, evaluated

    def stage(self, context: PromotionContext, event: Evaluated, stage: Stage) -> str:
        """Try a promotion; a refusal is an outcome, not an error."""
        from registry.promotion.promote import promote
        from registry.records import Actor

        self.say(f"{event.label}: promoting to {stage}")
        try:
            outcome = promote(context, Ref(event.model, event.version), stage, Actor("demo"))
        except RefusedError as error:
            self.say(str(error))
            return error.expectation
        if outcome.pending:
            raise ModelyardError(event.label, outcome.pending[0].reason, "see the log")
        return str(stage)

    def exported(self, context: PromotionContext, event: Evaluated) -> Exported | None:
        """The winner's export, if it came that far."""
        from pipelines.bundles.export import find_valid
        from registry.promotion.verdict import resolve

        return find_valid(context, resolve(context.store, Ref(event.model, event.version)), event.digest)

    def endpoint(self, event: Evaluated) -> str | None:
        """Where production answers."""
        from registry.reports.endpoints import endpoint_name

        live = self.workshop.target().find(endpoint_name(event.model, Stage.PRODUCTION))
        return live.url if live else None

    def predict(self, data: DataSet, event: Evaluated) -> list[str]:
        """Ask production about a few held-out frames, as `modelyard predict` does."""
        from pipelines.data.samples import held_out
        from pipelines.queries.predict import predict

        if self.endpoint(event) is None:
            return []
        rows = held_out(data, 5)
        answers = predict(self.workshop, f"{event.model}@production", data.files(rows))
        return [f"{row.label} → {a.label} ({a.probability:.2f})" for row, a in zip(rows, answers, strict=True)]

    def describe(self, data: DataSet) -> str:
        """The data set in one line."""
        rows = data.manifest.frames
        return f"{len(rows)} frames of {len({row.clip for row in rows})} clips in {len(data.manifest.labels)} classes"


def _demo_version(ref: str, trainer: str, seconds: float, usd: Decimal, evaluation: Evaluation) -> DemoVersion:
    score = evaluation.metrics["top1"]
    return DemoVersion(ref=ref, trainer=trainer, seconds=seconds, usd=usd, top1=score, interval=evaluation.interval, outcome="")


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
