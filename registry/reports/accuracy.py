"""How accurate a version is, wherever that is shown: the score that gates would count, and no other.

It is the newest score of the version's exact bytes on the test split of the data set that it was trained on, by the gates'
own function. Scores on other data (a champion on the candidate's images), on other splits or of other bytes are facts
about those; they are recorded, and they are nobody's headline.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from registry.events import AnyEvent, Evaluated, PolicySet, Trained, now
from registry.memory import MemoryEntry
from registry.promotion.evidence import gather
from registry.promotion.policy import FOLLOWED, fold_policies_by_model
from registry.promotion.state import sound
from registry.protocols import Entry
from registry.records import HEADLINES, Evaluation, ModelVersion
from registry.runs.rows import RunRow

VersionKey = tuple[str, int, int]
"""Model, number and time of creation: what tells a version from a later one of the same number."""

_SHOWN = (
    *("top5", "macro_f1", "worst_recall", "leaked_share", "map50", "map75", "worst_ap", "precision", "recall"),
    *(f"{name}{part}" for name in HEADLINES.values() for part in ("", "_low", "_high", "_without_leaked")),
    *("ece", "ece_scaled", "temperature", "coverage", "set_size", "unsure", "sure_top1", "robust_top1", "robust_drop"),
    *(f"{kind}_{strength}" for kind in ("blur", "dark", "jpeg", "noise") for strength in (1, 2, 3)),
)


def own_evaluations(entries: Iterable[Entry]) -> dict[VersionKey, Evaluation]:
    """Each version's own score, in one pass over the ledger; versions without one are left out."""
    return {key: evaluation for key, (_, evaluation) in _own(entries).items()}


def own_evaluation(entries: Iterable[Entry], key: VersionKey, digest: str = "") -> Evaluation | None:
    """One version's own score; `digest` names its bytes where they are known, else they are those that training registered."""
    mine = (row for row in entries if isinstance(row.event, (PolicySet, *FOLLOWED)) or _key(row.event) == key)
    scored = _own(mine, digest).get(key)
    return scored[1] if scored else None


def is_own(entries: Iterable[Entry], event: Evaluated) -> bool:
    """Whether a score that is about to be recorded would be its version's own."""
    rows = [row for row in entries if _key(row.event) == _key(event)]
    pending = MemoryEntry(rows[-1].seq + 1 if rows else 1, now(), event)
    return own_evaluation([*rows, pending], _key(event), event.digest) is event.evaluation


def scored_runs(entries: Iterable[Entry]) -> dict[str, tuple[str, Evaluation]]:
    """Training run → the version it ended in, and that version's own score."""
    return {trained.run_id: (trained.label, evaluation) for trained, evaluation in _own(entries).values()}


def versions_of_runs(entries: Iterable[Entry]) -> dict[str, str]:
    """Training run → the version it ended in, scored or not."""
    return {row.event.run_id: row.event.label for row in sound(entries, Trained) if isinstance(row.event, Trained)}


def run_metrics(evaluation: Evaluation) -> dict[str, float]:
    """A score's metrics as MLflow's runs carry them: `test_top1` and its interval, `test_macro_f1` and so on.

    A detector's are `test_map50_95` with its interval, `test_map50` and so on. Where images are leaked, `test_leaked_share`
    and, if others are left, `test_top1_without_leaked`.
    """
    low, high = evaluation.interval
    name = evaluation.headline
    figures = evaluation.metrics | {f"{name}_low": low, f"{name}_high": high}
    if leaked := evaluation.leaked:
        figures |= {"leaked_share": leaked.share}
        figures |= {f"{name}_without_leaked": leaked.metrics[name]} if name in leaked.metrics else {}
    return {f"{evaluation.split}_{metric}": value for metric, value in figures.items()}


def with_own_scores(
    rows: Sequence[RunRow], entries: Sequence[Entry], scores: Mapping[str, tuple[str, Evaluation]] | None = None
) -> list[RunRow]:
    """Runs whose `test_*` metrics are those of the ledger, where a version came of them.

    MLflow's metrics can be overwritten by anybody, and older releases wrote a champion's scores on other data there.
    `scores` are `scored_runs` of the same entries, for a caller that has them already.
    """
    scored = scored_runs(entries) if scores is None else scores
    trained = {row.event.run_id for row in entries if isinstance(row.event, Trained)}
    ours = {f"test_{name}" for name in _SHOWN}
    return [_with(row, scored.get(row.run_id), ours) if row.run_id in trained else row for row in rows]


def _with(row: RunRow, scored: tuple[str, Evaluation] | None, ours: set[str]) -> RunRow:
    others = {name: value for name, value in row.metrics.items() if name not in ours}
    metrics = others | (run_metrics(scored[1]) if scored else {})
    return msgspec.structs.replace(row, metrics=dict(sorted(metrics.items())), odd=[n for n in row.odd if n not in ours])


def _key(event: AnyEvent) -> VersionKey:
    return (event.model, event.version, event.created_ms)


def _own(entries: Iterable[Entry], digest: str = "") -> dict[VersionKey, tuple[Trained, Evaluation]]:
    """Each version's training and own score. Rows are handed to the gates' function version by version: that is linear."""
    rows, trained = defaultdict[VersionKey, list[Entry]](list), dict[VersionKey, Trained]()
    known = list(entries)
    policies = fold_policies_by_model(row for row in known if isinstance(row.event, (PolicySet, *FOLLOWED)))
    for row in sound(known, Trained, Evaluated):
        event = row.event
        rows[_key(event)].append(row)
        if isinstance(event, Trained):
            trained[_key(event)] = event
    scores = dict[VersionKey, tuple[Trained, Evaluation]]()
    for key, event in trained.items():
        policy = policies[event.model].current if event.model in policies else None
        evidence = gather([*rows[key], *([policy] if policy else [])], ModelVersion(*key), digest or event.digest)
        if evidence.evaluation is not None:
            scores[key] = (event, evidence.evaluation)
    return scores
