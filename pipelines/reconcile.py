"""The reconciler with this machine's parts."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from pipelines.deploy import retire_unheld
from pipelines.policy import current_policy
from pipelines.publish import publish_pending
from registry.errors import BusyError, ModelyardError, UnavailableError, shorten
from registry.reconciler import Pass, reconcile
from registry.upkeep import View, restless

if TYPE_CHECKING:
    from pipelines.wiring import Say, Workshop
    from registry.promotion import Yard

ELECTION = "/reconciler"
"""The lease of which one reconciler acts; no model can be called so."""


@dataclass
class Reconciler:
    """Pass after pass over every model, each by its policy. What does not change is not read again."""

    workshop: Workshop
    say: Say
    woken: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Connect."""
        self.bare = self.workshop.bare_yard()
        self._view = View(self.bare.ledger)
        self._yards: dict[str, tuple[int, Yard]] = {}

    def once(self) -> Pass:
        """One pass: one look at everything, a close look at what is not as it must be."""
        snapshot = self.bare.store.snapshot()
        self._view.refresh()
        found = restless(self._view, snapshot, self.yard_of)
        passes = [reconcile(self.yard_of(model), model, wait=False) for model in found]
        acted = [line for one in passes for line in one.acted]
        self._view.refresh()
        retired = retire_unheld(self.workshop, self.bare, self._view.standing)
        acted += [f"{name} retired: nobody holds its stage" for name in retired]
        acted += publish_pending(self.workshop, self._view)
        return Pass(len(snapshot), sum(len(one.aliases) for one in snapshot.values()), acted)

    def yard_of(self, model: str) -> Yard:
        """A model's yard, made again when the ledger has something new on it."""
        rows = self._view.rows(model)
        seen, yard = self._yards.get(model, (-1, self.bare))
        if seen != len(rows):
            yard = self.workshop.yard(current_policy(rows), self.say, self.bare)
            self._yards[model] = (len(rows), yard)
        return yard

    def keep_on(self, every: float) -> NoReturn:
        """Pass after pass, while no other reconciler does; a server that is away is waited for."""
        while True:
            try:
                self._lead(every)
            except BusyError:
                pass  # another one acts; ask again, in case it ends
            except Exception as error:  # noqa: BLE001 a watcher that dies watches nothing; the next pass tries again
                self.say(str(error) if isinstance(error, ModelyardError) else f"{type(error).__name__}: {shorten(error)}")
            self._rest(every)

    def _lead(self, every: float) -> NoReturn:
        """Act for as long as the lease is ours."""
        with self.bare.leases.hold(ELECTION, wait=False) as held:
            while True:
                held.check()
                for line in self.once().acted:
                    self.say(line)
                self._rest(every)

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
        from pipelines.webhook import listen

        try:
            say(f"listening for webhooks at {listen(workshop, webhook_port, watcher.woken.set)}")
        except UnavailableError as error:
            say(f"no webhooks, so aliases are asked for every {every:g} s: {error}")
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
