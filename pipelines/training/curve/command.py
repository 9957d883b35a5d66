"""One measurement of a home's data set: features, curves, and the ledger's row that a refusal's advice goes by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.data.dataset import DataSet, Progress
from pipelines.job.jobfile import Job
from pipelines.training.curve.curve import Asked, as_curves, check_labels
from pipelines.training.curve.features import backbone_of, see
from pipelines.training.curve.report import Curves
from pipelines.training.trainers.cache import ArrayCache
from registry.errors import InputError
from registry.events import CurveMeasured
from registry.protocols import Ledger
from registry.records import Actor


@dataclass(frozen=True)
class CurveMeasurement:
    """Measures. The ledger is opened late: nothing is written where nothing could be measured."""

    cache: ArrayCache
    ledger: Callable[[], Ledger]
    say: Callable[[str], None]

    def measure(self, data: DataSet, job: Job | None, asked: Asked, progress: Progress) -> Curves:
        """The curves of a data set, on features of the network that the job's trainer begins from.

        Raises InputError for a detector's data set, and for a class that it does not have.
        """
        if data.manifest.task == "detect":
            remedy = "compare trainings with more and fewer clips, see `modelyard runs`"
            raise InputError(data.name, "is a data set to detect with; the learning curve is of classifiers", remedy)
        data.held("train")
        check_labels(asked.labels, data.manifest.labels)
        seen = see(data, backbone_of(job.train if job else []), self.cache, progress)
        self.say(f"a head on frozen features of {seen.network}: what a network gains that is trained whole may differ")
        return as_curves(seen.pool, data.manifest.digest, seen.network, asked, progress)

    def record(self, curves: Curves, model: str, actor: Actor) -> CurveMeasured | None:
        """Keep what was predicted, for the advice at a refusal. None where nothing could be, or nobody knows whose it is."""
        if not model or not (curves.gains or curves.overall.gain):
            return None
        event = CurveMeasured(
            model=model,
            dataset=curves.dataset,
            network=curves.network,
            gains=curves.gains,
            overall=curves.overall.gain,
            actor=actor.name,
            proven=actor.proven,
        )
        self.ledger().append(event)
        return event
