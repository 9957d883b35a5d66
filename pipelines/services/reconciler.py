"""The reconciler with this machine's parts."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from pipelines.promotion.assemble import Parts, assemble, recorded_policy
from pipelines.promotion.publish import publish_pending
from pipelines.services.notifier import start_notifier
from pipelines.training.interrupted import book_interrupted
from registry.errors import BusyError, ModelyardError, UnavailableError, shorten
from registry.promotion.due import View, needs_reconcile
from registry.promotion.reconcile import Pass, reconcile

if TYPE_CHECKING:
    from pipelines.home import Home, Say
    from registry.promotion.context import PromotionContext

ELECTION = "/reconciler"
"""The lease of which one reconciler acts; no model can be called so."""


@dataclass
class Reconciler:
    """Pass after pass over every model, each by its policy. What does not change is not read again."""

    parts: Parts
    woken: threading.Event = field(default_factory=threading.Event)
    doorbell: str | None = None
    leading: bool = False

    def __post_init__(self) -> None:
        """Nothing is read before the first pass."""
        self._view = View(self.parts.context.ledger)
        self._contexts: dict[str, tuple[int, PromotionContext]] = {}

    def once(self) -> Pass:
        """One pass: one look at everything, a close look at what is not as it must be."""
        parts, view, context = self.parts, self._view, self.parts.context
        snapshot = context.store.snapshot()  # before the ledger is read: a decision in between is seen at the next pass
        view.refresh()
        lines = book_interrupted(parts.home.settings.underway, context.ledger)
        lines += parts.settler.settle(view, self.context_of)
        view.refresh()  # what the canaries' ends have changed
        lines += [line for model in needs_reconcile(view, snapshot, self.context_of) for line in self._look_at(model)]
        view.refresh()
        lines += [f"{name} retired: no version holds its stage" for name in parts.retirer.retire_local(view.state)]
        lines += parts.retirer.retire_in_clouds(view)
        try:
            lines += publish_pending(context.ledger, parts.home.tracker, view)
        except ModelyardError as error:
            lines.append(f"evidence could not be copied to MLflow: {error}")
        return Pass(len(snapshot), sum(len(model.aliases) for model in snapshot.values()), lines)

    def _look_at(self, model: str) -> list[str]:
        """A close look at one model; what goes wrong with it keeps nobody from the others."""
        try:
            return reconcile(self.context_of(model), model, wait=False).acted
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 a model's gates, hooks and files are anybody's
            return [f"{model} could not be reconciled: {_message(error)}"]

    def context_of(self, model: str) -> PromotionContext:
        """A model's context, made again when the ledger has something new on it."""
        rows = self._view.rows(model)
        seen, context = self._contexts.get(model, (-1, self.parts.context))
        if seen != len(rows):
            try:
                context = self.parts.context_for(recorded_policy(rows))
            except ModelyardError as error:  # such as a gate of another package that is not installed here
                self.parts.say(f"{model} has no gates here: {error}")
                context = self.parts.context_for(None)
            self._contexts[model] = (len(rows), context)
        return context

    def keep_on(self, every: float) -> NoReturn:
        """Pass after pass, while no other reconciler does; a server that is away is waited for."""
        while True:
            try:
                self._lead(every)
            except BusyError:
                pass  # this process stood still for so long that another one acts
            except Exception as error:  # noqa: BLE001 a watcher that dies watches nothing; the next pass tries again
                self.parts.say(_message(error))
            self._rest(every)

    def _lead(self, every: float) -> NoReturn:
        """Act for as long as the lease is ours; wait for it first, so that it passes on as soon as it has run out."""
        with self.parts.context.leases.hold(ELECTION) as lease:
            try:
                self.leading = True
                self._subscribe(every)
                while True:
                    lease.check()
                    for line in self.once().acted:
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
    return Reconciler(assemble(home, say)).once()


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


def _message(error: Exception) -> str:
    """An error on one line; one of anybody else's code with its type."""
    return str(error) if isinstance(error, ModelyardError) else f"{type(error).__name__}: {shorten(error)}"
