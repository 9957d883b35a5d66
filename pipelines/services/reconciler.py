"""The reconciler with this machine's parts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from pipelines.deployment.deploy import DeployHook, accounts_of
from pipelines.deployment.keys import KeyWatch, needed_accounts
from pipelines.deployment.outages import Account, Outage, write_outages
from pipelines.evaluation.describe import describe_in_mlflow
from pipelines.promotion.assemble import JudgingJob, Parts, assemble, recorded_policy
from pipelines.promotion.publish import publish_pending
from pipelines.services.billing import BillingWatch
from pipelines.services.lanes import Lanes, Task
from pipelines.services.notifier import start_notifier
from pipelines.training.interrupted import book_interrupted
from pipelines.training.launchers.runpod import reaper_of
from pipelines.training.resume import upload_pending
from registry.errors import BusyError, ModelyardError, UnavailableError, describe
from registry.promotion.context import ImpatientLeases
from registry.promotion.due import Look, View, looks
from registry.promotion.reconcile import Pass, reconcile

if TYPE_CHECKING:
    from pipelines.home import Home, Say
    from registry.promotion.context import PromotionContext
    from registry.records import Snapshot

ELECTION = "/reconciler"
"""The lease of which one reconciler acts; no model can be called so."""
_PATIENCE_S = 10.0
"""For how long a pass waits for what it began: a cloud may take minutes, and a rollback elsewhere must not."""


@dataclass
class Reconciler:
    """Pass after pass over every model, each by its policy. What does not change is not read again.

    One that does not go on, but makes a single pass, writes nothing down of what it could not ask.
    """

    parts: Parts
    woken: threading.Event = field(default_factory=threading.Event)
    doorbell: str | None = None
    leading: bool = False
    goes_on: bool = True

    def __post_init__(self) -> None:
        """Nothing is read before the first pass."""
        self._view, self._lanes = View(self.parts.context.ledger), Lanes()
        self._contexts: dict[str, tuple[int, PromotionContext]] = {}
        self._written: list[Outage] | None = None
        self._described: dict[str, int] | None = None
        self._reaper = reaper_of(self.parts.home.settings)
        self._keys = KeyWatch(self.parts.targets)
        self._billing = BillingWatch(self.parts.home.settings, self.parts.context.ledger, self.parts.say)

    def once(self, seconds: float | None = None) -> Pass:
        """One pass: one look at everything, a close look at what is not as it must be.

        Each step and each model is on its own, and models that other accounts serve are looked at side by side. What takes
        longer than the seconds goes on beside the next passes. Raises at its end where MLflow could not be asked.
        """
        parts, view, lines = self.parts, self._view, list[str]()
        lines += self._step(
            "runs that were killed", lambda: book_interrupted(parts.home.settings.underway, parts.context.ledger)
        )
        lines += self._step("what trainings could not log", self._upload)
        view.refresh()
        if self._reaper:
            self._lanes.submit(Task("pods at RunPod", "", ("pods",), self._reaper.reap))
        for task in self._billing.tasks():
            self._lanes.submit(task)
        lines += self._step("endpoints without a version", self._retire)  # asks the ledger alone, so whatever MLflow does
        snapshot, trouble = self._snapshot()
        if snapshot is not None:
            view.refresh()  # after the snapshot: a decision in between is seen at the next pass
            lines += self._step("canaries", lambda: parts.settler.settle(view, self._deciding_context_of))
            view.refresh()  # what the canaries' ends have changed
            for look in looks(view, snapshot):
                self._submit(look)
        lines += self._lanes.collect(seconds)
        view.refresh()
        lines += self._step("keys", lambda: self._keys.look(self._needed()))
        self._step("accounts that are not asked", self._write_outages)
        if trouble is not None or snapshot is None:
            for line in lines:
                parts.say(line)
            raise trouble or AssertionError
        lines += self._publish()
        lines += self._step("descriptions in MLflow", self._describe)
        return Pass(len(snapshot), sum(len(model.aliases) for model in snapshot.values()), lines)

    def _snapshot(self) -> tuple[dict[str, Snapshot] | None, Exception | None]:
        try:
            return self.parts.context.store.snapshot(), None
        except Exception as error:  # noqa: BLE001 what needs no MLflow is done first
            return None, error

    def _step(self, subject: str, step: Callable[[], list[str]]) -> list[str]:
        """A step of a pass that keeps none of the others."""
        try:
            return step()
        except Exception as error:  # noqa: BLE001 files, ledgers and clouds are anybody's
            return [f"{subject} could not be looked at: {describe(error)}"]

    def _upload(self) -> list[str]:
        home, context = self.parts.home, self.parts.context
        return upload_pending(home.settings.trainings, context.ledger, home.tracker, lambda: context.store, self.parts.say)

    def _retire(self) -> list[str]:
        for name, model, account, retire in self.parts.retirer.overdue(self._view):
            self._lanes.submit(Task(f"endpoint {name}", model, (account,), retire))
        return []

    def _publish(self) -> list[str]:
        lines = list[str]()
        for model in sorted(self._view.models()):
            try:
                lines += publish_pending(self.parts.context.ledger, self.parts.home.tracker, self._view, model)
            except UnavailableError as error:
                return [*lines, f"evidence could not be copied to MLflow: {error}"]  # nor could the others'
            except Exception as error:  # noqa: BLE001 one model's evidence keeps no other's
                lines.append(f"evidence of {model} could not be copied to MLflow: {describe(error)}")
        return lines

    def _describe(self) -> list[str]:
        """Describe in MLflow what the ledger has something new on; what it had before was described by who wrote it."""
        before, rows_of = self._described, {model: self._view.rows(model) for model in self._view.models()}
        self._described = {model: len(rows) for model, rows in rows_of.items()}
        if before is None:
            return []
        context, lines = self.parts.context, list[str]()
        for model, rows in rows_of.items():
            if fresh := {row.event.version for row in rows[before.get(model, 0) :]}:
                lines.append(describe_in_mlflow(context.store, context.ledger, model, fresh))
        return [line for line in lines if line]

    def _submit(self, look: Look) -> None:
        """A close look at one model, in the lane of the accounts that serve it; most need none, and are only asked."""
        model, lines = look.model, list[str]()
        try:
            context = self.context_of(model)
        except Exception as error:  # noqa: BLE001 a policy may name anything
            lines.append(f"{model} could not be reconciled: {describe(error)}")
            self._lanes.submit(Task(model, model, (), lambda: lines))
            return

        def look_closely() -> list[str]:
            return reconcile(context, model, wait=False).acted if self._needs_reconcile(look, context) else []

        self._lanes.submit(Task(model, model, accounts_of(context), look_closely))

    @staticmethod
    def _needs_reconcile(look: Look, context: PromotionContext) -> bool:
        """Where the places that serve it cannot be asked, the close look finds out which of its stages can."""
        try:
            return look.needs_reconcile(context)
        except Exception:  # noqa: BLE001 it is met again there, and said
            return True

    def _deciding_context_of(self, model: str) -> PromotionContext:
        """For ends of canaries: its leases are not waited for, and its hooks are left to the model's lane."""
        context = self.context_of(model)
        return replace(context, leases=ImpatientLeases(context.leases), hooks={})

    def context_of(self, model: str) -> PromotionContext:
        """A model's context, made again when the ledger has something new on it."""
        rows = self._view.rows(model)
        seen, context = self._contexts.get(model, (-1, self.parts.context))
        if seen != len(rows):
            try:
                context = self.parts.context_for(recorded_policy(rows))
            except ModelyardError as error:  # such as a gate of another package that is not installed here
                self.parts.say(f"{model} has no gates here: {error}")
                context = self.parts.context_for(JudgingJob())
            self._contexts[model] = (len(rows), context)
        return context

    def _needed(self) -> Iterator[tuple[Account, str]]:
        """The accounts that the stages of all models need; each with an endpoint's name."""
        for model in sorted(self._view.models()):
            held = self._view.state(model).holders
            try:
                hooks = self.context_of(model).hooks if held else {}
            except Exception:  # noqa: BLE001 it is said where the model is reconciled
                hooks = {}
            configs = {stage: hook.config for stage in held for hook in hooks.get(stage, ()) if isinstance(hook, DeployHook)}
            yield from needed_accounts(self.parts.targets, model, self._view.rows(model), configs)

    def _write_outages(self) -> list[str]:
        """For `modelyard status`, which is another process."""
        standing = [*self.parts.outages.standing(), *self._keys.standing()]
        if self.goes_on and standing != self._written:
            write_outages(self.parts.home.settings.outages, standing)
            self._written = standing
        return []

    def keep_on(self, every: float) -> NoReturn:
        """Pass after pass, while no other reconciler does; a server that is away is waited for."""
        while True:
            try:
                self._lead(every)
            except BusyError:
                pass  # this process stood still for so long that another one acts
            except Exception as error:  # noqa: BLE001 a watcher that dies watches nothing; the next pass tries again
                self.parts.say(describe(error))
            self._rest(every)

    def _lead(self, every: float) -> NoReturn:
        """Act for as long as the lease is ours; wait for it first, so that it passes on as soon as it has run out."""
        with self.parts.context.leases.hold(ELECTION) as lease:
            try:
                self.leading = True
                self._subscribe(every)
                while True:
                    lease.check()
                    for line in self.once(max(every, _PATIENCE_S)).acted:
                        self.parts.say(line)
                    self._rest(every)
            finally:
                self.leading = False

    def _subscribe(self, every: float) -> None:
        """Who acts is the one to be woken."""
        if self.doorbell is None:
            return
        from pipelines.services.webhook import subscribe

        try:
            subscribe(self.parts.home.settings, self.doorbell)
            self.parts.say(f"listening for webhooks at {self.doorbell}")
        except ModelyardError as error:
            self.parts.say(f"no webhooks, so aliases are asked for every {every:g} s: {error}")

    def _rest(self, every: float) -> None:
        self.woken.wait(every)
        self.woken.clear()


def reconcile_all(home: Home, say: Say) -> Pass:
    """One pass over every registered model."""
    return Reconciler(assemble(home, say), goes_on=False).once()


def keep_reconciling(home: Home, every: float, say: Say, webhook_port: int | None = None) -> NoReturn:
    """Pass after pass; a webhook, where one is listened for, only brings the next one forward."""
    reconciler = connected(home, every, say)
    if webhook_port is not None:
        from pipelines.services.webhook import listen

        reconciler.doorbell = listen(home.settings, webhook_port, reconciler.woken.set)
    start_notifier(home, lambda: reconciler.leading, say)
    reconciler.keep_on(every)


def connected(home: Home, every: float, say: Say) -> Reconciler:
    """A reconciler, once its server answers."""
    pause = partial(threading.Event().wait, every)
    while True:
        try:
            return Reconciler(assemble(home, say))
        except ModelyardError as error:
            say(str(error))
            pause()
