"""The reconciler with this machine's parts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NoReturn

from pipelines.deploy import retire_unheld
from registry.errors import ModelyardError, shorten
from registry.reconciler import Pass, reconcile

if TYPE_CHECKING:
    from pipelines.wiring import Say, Workshop


def reconcile_all(workshop: Workshop, say: Say) -> Pass:
    """One pass over every registered model, each by the job that it was last promoted by."""
    bare, passes = workshop.bare_yard(), list[Pass]()
    for model in bare.store.models():
        job = workshop.kept_job(model)
        passes.append(reconcile(workshop.yard(job, say) if job else bare, model))
    acted = [line for one in passes for line in one.acted]
    retired = retire_unheld(workshop, bare)
    acted += [f"{name} retired: nobody holds its stage" for name in retired]
    return Pass(len(passes), sum(one.aliases for one in passes), acted)


def keep_reconciling(workshop: Workshop, every: float, say: Say) -> NoReturn:
    """Pass after pass; a server that is away is waited for."""
    while True:
        try:
            for line in reconcile_all(workshop, say).acted:
                say(line)
        except Exception as error:  # noqa: BLE001 a watcher that dies watches nothing; the next pass tries again
            say(str(error) if isinstance(error, ModelyardError) else f"{type(error).__name__}: {shorten(error)}")
        time.sleep(every)
