"""The demo: from clips to a deployed, priced model, once, with real parts."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from pipelines.data.build import open_source
from pipelines.data.sources import check_source
from pipelines.job.jobfile import Data, Job, parse_job
from pipelines.training.trainers.build import check_installed
from registry.errors import ModelyardError, RefusedError
from registry.records import Evaluation, Record
from registry.refs import Ref, endpoint_name
from registry.stages import Stage

if TYPE_CHECKING:
    from pipelines.data.dataset import DataSet, Progress
    from pipelines.home import Home, Say
    from registry.events import Evaluated, Exported
    from registry.promotion.context import PromotionContext

MODEL = "digits"
_SIZE = 64
_EPOCHS = {"torch": 22, "yolo": 6, "keras": 14}


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the user asked of the demo."""

    clips: Path | None = None
    images: Path | None = None
    group: str | None = None
    trainers: str = "yolo,torch"
    epochs: int | None = None
    imgsz: int | None = None

    def check(self, tf_python: Path) -> None:
        """Find what is wrong with the user's folders and options, and what is not installed, before a server is started."""
        check_source(self.clips, self.images, self.group)
        if self.clips or self.images:
            open_source(self.job(self.clips or Path("clips")).data)
        for config in self.job(Path("clips")).train:
            check_installed(config, tf_python)

    def job(self, clips: Path) -> Job:
        """The demo's job: the template's gates, and the trainers that were asked for."""
        names = [name.strip() for name in self.trainers.split(",") if name.strip()]
        source = self.clips or self.images
        model = source.resolve().name if source else MODEL
        raw = {
            "model": model,
            "train": [self._trainer(name, drawn=source is None) for name in names],
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

    def _trainer(self, name: str, *, drawn: bool) -> dict[str, object]:
        """A trainer's config: its own defaults for the user's pictures; for the drawn digits what is known to be enough."""
        if not drawn:
            chosen: dict[str, object] = {"epochs": self.epochs, "imgsz": self.imgsz}
            return {"kind": name, **{key: value for key, value in chosen.items() if value is not None}}
        size, epochs = self.imgsz or _SIZE, self.epochs or _EPOCHS.get(name, 1)
        config: dict[str, object] = {"kind": name, "epochs": epochs, "imgsz": size}
        return config | {"torch": {"arch": "small_cnn"}, "yolo": {"loop": "fast"}}.get(name, {})


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


def run_demo(home: Home, options: DemoOptions, progress: Progress, say: Say) -> Summary:
    """From clips to an endpoint that answers."""
    return _Demo(home, options, progress, say).run()


class _Demo:
    """The steps, with what they share."""

    def __init__(self, home: Home, options: DemoOptions, progress: Progress, say: Say) -> None:
        from pipelines.promotion.assemble import JudgingJob, assemble

        self.home, self.options, self.progress, self.say = home, options, progress, say
        self.job = options.job(options.clips or home.settings.home / "demo-clips")
        self.parts = assemble(home, say)
        self.judging = JudgingJob(self.job)

    def run(self) -> Summary:
        began = monotonic()
        data = self.data()
        tries, evaluated = self.train(data)
        context = self.parts.context_for(self.judging)
        best, *others = sorted(evaluated, key=lambda event: -event.evaluation.metrics["top1"])
        outcomes = {best.label: self.stage(context, best, Stage.STAGING)}
        if outcomes[best.label] == str(Stage.STAGING):
            outcomes[best.label] = self.stage(context, best, Stage.PRODUCTION)
        outcomes |= {event.label: self.stage(context, event, Stage.STAGING) for event in others}
        exported = self.exported(best)
        return Summary(
            data=self.describe(data),
            tries=[version.model_copy(update={"outcome": outcomes[version.ref]}) for version in tries],
            parity=[_parity_line(figures.model_dump()) for figures in exported.parity] if exported else [],
            latency_p95_ms=exported.latency.p95_ms if exported and exported.latency else None,
            endpoint=self.endpoint(best),
            predictions=self.predict(data, best),
            seconds=monotonic() - began,
        )

    def data(self) -> DataSet:
        """Clips to a data set."""
        if not (self.options.clips or self.options.images):
            from pipelines.demo.clips import Film, film_digits

            self.say("filming handwritten digits with a simulated camera")
            film_digits(self.job.data.clips, Film(), self.progress)
        self.say("clips to frames to a data set, split by clip")
        datasets = self.parts.datasets
        return datasets.build(self.job.data, datasets.folder_of(self.job.model), self.progress)

    def train(self, data: DataSet) -> tuple[list[DemoVersion], list[Evaluated]]:
        """Train and evaluate each trainer."""
        from pipelines.training.job import TrainingJob

        home, context = self.home, self.parts.context
        job = TrainingJob(home.settings, context.ledger, home.store, home.tracker, self.parts.datasets, self.say)
        trained = job.run(self.job, self.job.train, data, self.progress)
        if trained.failures:
            raise trained.failures[0]
        tries, evaluated = list[DemoVersion](), list["Evaluated"]()
        for event in trained.events:
            self.say(f"{event.label}: evaluating on the held-out test split")
            ref = Ref(event.model, event.version)
            scored = self.parts.evaluator.evaluate(ref, data, "test")
            evaluated.append(scored)
            tries.append(_demo_version(event.label, event.trainer, event.seconds, event.usd, scored.evaluation))
            self.say(str(scored))
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

    def exported(self, event: Evaluated) -> Exported | None:
        """The winner's export, if it came that far."""
        from registry.promotion.verdict import resolve

        version = resolve(self.parts.context.store, Ref(event.model, event.version))
        return self.parts.bundles.find_valid(version, event.digest)

    def endpoint(self, event: Evaluated) -> str | None:
        """Where production answers."""
        live = self.parts.targets.local().find(endpoint_name(event.model, Stage.PRODUCTION))
        return live.url if live else None

    def predict(self, data: DataSet, event: Evaluated) -> list[str]:
        """Ask production about a few held-out frames, as `modelyard predict` does."""
        from pipelines.data.samples import held_out
        from pipelines.queries.predict import Prediction

        if self.endpoint(event) is None:
            return []
        rows, home = held_out(data, 5), self.home
        prediction = Prediction(home.ledger, home.store, self.parts.targets, home.settings.endpoint_headers)
        answers = prediction.predict(f"{event.model}@production", data.files(rows))
        shown = [answer.error or f"{answer.label} ({answer.probability:.2f})" for answer in answers]
        return [f"{row.label} → {words}" for row, words in zip(rows, shown, strict=True)]

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
