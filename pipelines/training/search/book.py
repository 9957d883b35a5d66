"""The trials of a search as runs below one parent, each paid for: in MLflow, in the ledger, and as the best so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipelines.training.interrupted import Payment
from pipelines.training.search.trial import NO_SCORE
from pipelines.training.spool import patiently
from registry.errors import ModelyardError
from registry.money.prices import Price
from registry.protocols import Ledger
from registry.records import Actor
from registry.spending import TrainingFailed

if TYPE_CHECKING:
    from registry.mlflow.tracker import RunLog, Tracker

T = TypeVar("T")
PARENT = "mlflow.parentRunId"
TRIAL = "modelyard.trial"


@dataclass(frozen=True, slots=True)
class SearchAccount:
    """For whom trials are booked, and at which price each."""

    model: str
    dataset: str
    price: Price
    actor: Actor
    underway: Path | None = None
    patience: float = 60.0
    """Seconds for which a trial waits for MLflow where that is away."""


@dataclass(slots=True)
class Trial:
    """One trial while it lasts, and what became of it. `varied` is what the search chose, in words."""

    number: int
    trainer: dict[str, Any]
    varied: str
    log: RunLog
    payment: Payment
    score: float = NO_SCORE
    step: int = 0
    failed: str = ""
    attempts: int = 1
    ended: bool = False
    usd: Decimal = Decimal(0)


@dataclass
class TrialBook:
    """Keeps the trials of one search. All calls come from one thread."""

    ledger: Ledger
    tracker: Tracker
    account: SearchAccount
    parent: str
    metric: str
    say: Callable[[str], None]
    trials: dict[str, Trial] = field(default_factory=dict[str, Trial])

    def begin(self, key: str, trainer: Mapping[str, Any], varied: Mapping[str, Any]) -> None:
        """A trial starts, or starts again because its worker was lost."""
        if known := self.trials.get(key):
            known.attempts += 1
            self.say(f"trial {known.number}: its worker was lost; attempt {known.attempts} begins")
            return
        number, words = len(self.trials) + 1, ", ".join(f"{name} {_short(value)}" for name, value in varied.items())
        kind = str(trainer["kind"])
        tags = {PARENT: self.parent, TRIAL: str(number), "modelyard.trainer": kind}
        name = f"trial {number}: {kind} {words or trainer['arch']}"
        log = self._patiently(lambda: self.tracker.begin(name, tags))
        account = self.account
        event = TrainingFailed(
            model=account.model,
            trainer=kind,
            run_id=log.run_id,
            seconds=0.0,
            hardware=f"{account.price.provider}: {account.price.hardware}",
            usd=Decimal(0),
            price_as_of=account.price.as_of.isoformat(),
            reason="its process was killed",
            actor=account.actor.name,
            proven=account.actor.proven,
            trial=True,
        )
        payment = Payment(account.underway, self.ledger, account.price, event, account.dataset)
        self.trials[key] = Trial(number, dict(trainer), words, log, payment)
        self._patiently(lambda: log.params({**trainer, "dataset": account.dataset}))

    def _patiently(self, step: Callable[[], T]) -> T:
        """Tell MLflow, or wait for it: all of this may be told twice, and a run that was made twice has no score."""
        return patiently(step, self.account.patience, self.say)

    def report(self, key: str, report: Mapping[str, Any]) -> None:
        """What a trial reports. A step that an attempt repeats is logged once."""
        trial = self.trials[key]
        trial.failed = str(report.get("failed") or "")
        step = int(report["step"])
        if step > trial.step:
            trial.step, trial.score = step, max(trial.score, float(report["score"])) if self._grows else float(report["score"])
            self._patiently(lambda: trial.log.metrics(dict(report["metrics"]), step))

    _grows: bool = True
    """Whether a later score replaces an earlier one only where it is better; not so for the mean of folds."""

    def averages(self) -> None:
        """Scores are means of folds: the last is the score."""
        self._grows = False

    def end(self, key: str, why: str = "") -> None:
        """A trial is over: its money is booked first, then MLflow is told."""
        trial = self.trials.get(key)
        if trial is None or trial.ended:
            return
        trial.ended = True
        reason = trial.failed or why or f"{self.metric} {trial.score:.4f}"
        used = trial.payment.measure()
        trial.usd = used.usd
        trial.payment.book([used.model_copy(update={"reason": reason})])
        failed = bool(trial.failed or trial.score == NO_SCORE)
        self.say(f"trial {trial.number}: {reason} ({trial.varied or trial.trainer['arch']})")
        figures = {"train_seconds": used.seconds, "cost_usd": float(used.usd)}
        if trial.score != NO_SCORE:
            figures["score"] = trial.score
        self._patiently(lambda: trial.log.metrics(figures))
        self._patiently(lambda: self.tracker.end(trial.log.run_id, "FAILED" if failed else "FINISHED"))

    def close(self) -> None:
        """End what is still open: each is booked, whatever cannot be told to MLflow."""
        for key in list(self.trials):
            with suppress(ModelyardError):
                self.end(key, "the search ended")

    @property
    def best(self) -> Trial | None:
        """The trial with the highest score; of equals the first."""
        scored = [trial for trial in self.trials.values() if trial.score != NO_SCORE and not trial.failed]
        return max(scored, key=lambda trial: trial.score, default=None)

    @property
    def usd(self) -> Decimal:
        """What all trials cost."""
        return sum((trial.usd for trial in self.trials.values()), Decimal(0))


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
