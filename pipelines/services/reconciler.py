"""The reconciler with this machine's parts."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from pipelines.deployment.canary.settle import settle
from pipelines.deployment.retire import retire_elsewhere, retire_unheld
from pipelines.job.policy import current_policy
from pipelines.promotion.publish import publish_pending
from pipelines.services.notifier import started
from pipelines.training.interrupted import book_interrupted
from registry.errors import BusyError, ModelyardError, UnavailableError, shorten
from registry.promotion.due import View, needs_reconcile
from registry.promotion.reconcile import Pass, reconcile

if TYPE_CHECKING:
    from pipelines.home import Say, Workshop
    from registry.promotion.context import PromotionContext

ELECTION = "/reconciler"
"""The lease of which one reconciler acts; no model can be called so."""


@dataclass
class Reconciler:
    """Pass after pass over every model, each by its policy. What does not change is not read again."""

    workshop: Workshop
    say: Say
    woken: threading.Event = field(default_factory=threading.Event)
    doorbell: str | None = None
    leading: bool = False

    def __post_init__(self) -> None:
        """Connect."""
        self.bare = self.workshop.context()
        self._view = View(self.bare.ledger)
        self._contexts: dict[str, tuple[int, PromotionContext]] = {}

    def once(self) -> Pass:
        """One pass: one look at everything, a close look at what is not as it must be."""
        snapshot = self.bare.store.snapshot()
        self._view.refresh()
        acted = book_interrupted(self.workshop.settings.underway, self.bare.ledger)
        acted += settle(self.workshop, self._view, self.context_of)
        self._view.refresh()
        acted += [line for model in needs_reconcile(self._view, snapshot, self.context_of) for line in self._look_at(model)]
        self._view.refresh()
        retired = retire_unheld(self.workshop, self.bare, self._view.state)
        acted += [f"{name} retired: nobody holds its stage" for name in retired]
        acted += retire_elsewhere(self.workshop, self.bare, self._view)
        try:
            acted += publish_pending(self.workshop, self._view)
        except ModelyardError as error:
            acted.append(f"evidence could not be copied to MLflow: {error}")
        return Pass(len(snapshot), sum(len(one.aliases) for one in snapshot.values()), acted)

    def _look_at(self, model: str) -> list[str]:
        """A close look at one model; what goes wrong with it keeps nobody from the others."""
        try:
            return reconcile(self.context_of(model), model, wait=False).acted
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 a model's gates, hooks and files are anybody's
            said = error if isinstance(error, ModelyardError) else f"{type(error).__name__}: {shorten(error)}"
            return [f"{model} could not be reconciled: {said}"]

    def context_of(self, model: str) -> PromotionContext:
        """A model's yard, made again when the ledger has something new on it."""
        rows = self._view.rows(model)
        seen, context = self._contexts.get(model, (-1, self.bare))
        if seen != len(rows):
            try:
                context = self.workshop.full_context(current_policy(rows), self.say, self.bare)
            except ModelyardError as error:  # such as a gate of another package that is not installed here
                self.say(f"{model} has no gates here: {error}")
                context = self.workshop.full_context(None, self.say, self.bare)
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
                self.say(str(error) if isinstance(error, ModelyardError) else f"{type(error).__name__}: {shorten(error)}")
            self._rest(every)

    def _lead(self, every: float) -> NoReturn:
        """Act for as long as the lease is ours; wait for it first, so that it passes on as soon as it has run out."""
        with self.bare.leases.hold(ELECTION) as held:
            try:
                self.leading = True
                self._subscribe(every)
                while True:
                    held.check()
                    for line in self.once().acted:
                        self.say(line)
                    self._rest(every)
            finally:
                self.leading = False

    def _subscribe(self, every: float) -> None:
        """Who acts is the one to be woken."""
        if self.doorbell is None:
            return
        from pipelines.services.webhook import subscribe

        try:
            subscribe(self.workshop, self.doorbell)
            self.say(f"listening for webhooks at {self.doorbell}")
        except ModelyardError as error:
            self.say(f"no webhooks, so aliases are asked for every {every:g} s: {error}")

    def _rest(self, every: float) -> None:
        self.woken.wait(every)
        self.woken.clear()


def reconcile_all(workshop: Workshop, say: Say) -> Pass:
    """One pass over every registered model."""
    return Reconciler(workshop, say).once()


def keep_reconciling(workshop: Workshop, every: float, say: Say, webhook_port: int | None = None) -> NoReturn:
    """Pass after pass; a webhook, where one is listened for, only brings the next one forward."""
    watcher = connected(workshop, every, say)
    if webhook_port is not None:
        from pipelines.services.webhook import listen

        watcher.doorbell = listen(workshop, webhook_port, watcher.woken.set)
    started(workshop, lambda: watcher.leading, say)
    watcher.keep_on(every)


def connected(workshop: Workshop, every: float, say: Say) -> Reconciler:
    """A reconciler, once its server answers."""
    pause = partial(threading.Event().wait, every)
    while True:
        try:
            return Reconciler(workshop, say)
        except ModelyardError as error:
            say(str(error))
            pause()
