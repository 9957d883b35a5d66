"""What MLflow's page of a training's run says first: what was trained on what, its score and cost, and what comes next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from shlex import quote

from registry.events import Trained
from registry.protocols import Entry
from registry.records import ModelVersion
from registry.reports.accuracy import own_evaluation
from registry.reports.describe import headline, money_facts, score_facts, version_key
from registry.reports.markdown import code, facts_table, fitted, plain, usd
from registry.spending import TrainingFailed

NOTE = "mlflow.note.content"
"""The tag whose text MLflow shows on a run's page."""
_DATASET, _TRAINER = "modelyard.dataset", "modelyard.trainer"


def describe_run(entries: Sequence[Entry], version: ModelVersion, tags: Mapping[str, str]) -> str:
    """A run that ended in a version, in Markdown; "" where the ledger has no training of it. `tags` are the run's."""
    key = (version.model, version.version, version.created_ms)
    rows = [row.event for row in entries if row.flaw is None and version_key(row.event) == key]
    trained = next((event for event in reversed(rows) if isinstance(event, Trained)), None)
    if trained is None:
        return ""
    evaluation, ref = own_evaluation(entries, key), quote(str(version.ref))
    what = f"{_what(trained.trainer, tags)} ({trained.dataset[:12]}). It became {plain(str(version.ref))}."
    measured = f"modelyard gates {ref} staging" if evaluation else f"modelyard evaluate {ref}"
    compared = f"modelyard diff {quote(f'{version.model}@production')} {ref}"
    lines = [
        f"- Next: {code(measured)}",
        f"- Compare it with the version in production: {code(compared)}",
        "- Its curves are in `plots/curves.png` under Artifacts, and all figures on this page",
    ]
    facts = [*score_facts(evaluation), *money_facts([trained])]
    return fitted([(0, f"**{headline(evaluation)}**"), (0, what), (1, facts_table(facts)), (2, "\n".join(lines))])


def describe_broken_run(event: TrainingFailed | None, run_id: str, tags: Mapping[str, str], *, resumable: bool) -> str:
    """A run that ended in no version, in Markdown: what happened, what it cost, and how it goes on.

    `event` is what the ledger says of it, None where that is not known yet.
    """
    spent = f" after {event.seconds:.0f} s ({usd(event.usd)} on {plain(event.hardware)})" if event else ""
    why = plain(event.reason, 600) if event else "its process ended before it could say why"
    trainer = event.trainer if event else tags.get(_TRAINER, "")
    further = (
        f"- Go on from its last checkpoint: {code(f'modelyard train --resume {quote(run_id)}')}"
        if resumable
        else "- It left no checkpoint; train anew: `modelyard train`"
    )
    return fitted([(0, f"**Ended without a version**{spent}: {why}"), (1, f"{_what(trainer, tags)}."), (0, further)])


def _what(trainer: str, tags: Mapping[str, str]) -> str:
    known_as = tags.get(_DATASET, "")
    return f"Trained by {plain(trainer) or 'a trainer'} on data set{f' {plain(known_as)}' if known_as else ''}"
