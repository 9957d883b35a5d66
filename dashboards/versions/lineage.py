"""Where a version comes from and where it went, without Streamlit: clips, data set, run, version, bundle, endpoint.

Each step has the difference to the same step of the version before it: what a person looks for when a score has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from dashboards.datasets import LocalDataset
from registry.amounts import format_usd
from registry.errors import shorten
from registry.events import Deployed, Exported, Trained
from registry.protocols import Entry
from registry.reports.accuracy import own_evaluations
from registry.reports.endpoints import existing_deployments
from registry.runs.rows import RunRow
from registry.runs.select import is_bookkeeping

Find = Callable[[str], LocalDataset | None]
"""A data set of this machine by its digest."""
_MOST = 6
_MOVED = 0.0005
"""Scores that are nearer than this are shown as the same: three digits are."""


class Step(NamedTuple):
    """One box: what it is, what is known of it, and what is other than in the version before."""

    name: str
    text: str
    difference: str = ""


class _Facts(NamedTuple):
    """What the ledger has of one version."""

    trained: Trained
    exported: Exported | None
    deployed: Sequence[Deployed]


def trained_versions(entries: Iterable[Entry]) -> list[str]:
    """The versions that a run ended in, the newest first: those that have a lineage."""
    labels = [entry.event.label for entry in entries if isinstance(entry.event, Trained)]
    return list(dict.fromkeys(reversed(labels)))


def lineage(entries: Sequence[Entry], label: str, runs: Iterable[RunRow], find: Find) -> list[Step]:
    """The steps of one version, from its clips to its endpoints. Empty for a version that nobody trained here."""
    of_model = [entry for entry in entries if entry.event.model == label.rpartition("/")[0]]
    versions = _facts(of_model)
    mine = versions.get(label)
    if mine is None:
        return []
    before = max(
        (facts for facts in versions.values() if facts.trained.version < mine.trained.version),
        key=lambda facts: facts.trained.version,
        default=None,
    )
    rows = {row.run_id: row for row in runs}
    scores = {f"{key[0]}/{key[1]}": evaluation for key, evaluation in own_evaluations(of_model).items()}
    data, old_data = (find(facts.trained.dataset) if facts else None for facts in (mine, before))
    score, old_score = (scores.get(facts.trained.label) if facts else None for facts in (mine, before))
    measured = f", {score.score_name} {score.score:.3f} ({score.interval[0]:.3f} to {score.interval[1]:.3f})" if score else ""
    change = _moved(score.score, old_score.score) if score and old_score and score.task == old_score.task else ""
    stages = ", ".join(dict.fromkeys(event.stage.value for event in mine.deployed))
    return [
        *_data_steps(mine, before, data, old_data),
        Step("Run", _run_text(mine.trained), _run_difference(mine, before, rows)),
        Step("Version", f"{label}{measured}{f', serving {stages}' if stages else ''}", change),
        *_bundle_steps(mine, before),
        *[Step("Endpoint", f"{event.stage}: {event.target}, {event.url}", "") for event in mine.deployed],
    ]


def _facts(entries: Sequence[Entry]) -> dict[str, _Facts]:
    """By version; of a number that was given twice, the later one."""
    trained, exported = dict[str, Trained](), dict[tuple[str, int, int], Exported]()
    for entry in entries:
        match entry.event:
            case Trained() as event:
                trained[event.label] = event
            case Exported() as event:
                exported[event.model, event.version, event.created_ms] = event
            case _:
                pass
    standing = existing_deployments(entries)
    return {
        label: _Facts(
            event,
            exported.get((event.model, event.version, event.created_ms)),
            [each for each in standing if (each.model, each.identity) == (event.model, event.identity)],
        )
        for label, event in trained.items()
    }


def _data_steps(mine: _Facts, before: _Facts | None, data: LocalDataset | None, old: LocalDataset | None) -> list[Step]:
    digest = mine.trained.dataset
    same = before is not None and before.trained.dataset == digest
    if data is None:
        return [Step("Data set", f"{digest[:12]}, not on this machine", "the same" if same else "another" if before else "")]
    clips, images = _clips(data), {str(frame["sha256"]) for frame in data.frames}
    kind = "clip" if data.source == "clips" else "group"
    source = Step(f"{kind.capitalize()}s", f"{len(clips):,} of {len(data.labels)} classes", "the same" if same else "")
    text = f"{data.name if data.name != digest else digest[:12]}, {len(data.frames):,} images"
    version = Step("Data set", text, "the same" if same else "")
    if before is None or same or old is None:
        missing = "another, which is not on this machine" if before and not same else ""
        return [source, version._replace(difference=version.difference or missing)]
    old_images = {str(frame["sha256"]) for frame in old.frames}
    return [
        source._replace(difference=_added(clips, _clips(old), kind)),
        version._replace(difference=_added(images, old_images, "image")),
    ]


def _clips(data: LocalDataset) -> set[str]:
    return {str(frame["clip"]) for frame in data.frames}


def _added(new: set[str], old: set[str], kind: str) -> str:
    """How many are new and how many are gone."""
    more, fewer = len(new - old), len(old - new)
    parts = [f"{sign}{count:,} {kind}{'' if count == 1 else 's'}" for sign, count in (("+", more), ("-", fewer)) if count]
    return ", ".join(parts) or "the same"


def _run_text(trained: Trained) -> str:
    cost = format_usd(trained.usd)
    return f"{trained.trainer}, {trained.seconds:,.0f} s on {shorten(trained.hardware, 60)}, {cost} (run {trained.run_id[:8]})"


def _run_difference(mine: _Facts, before: _Facts | None, rows: Mapping[str, RunRow]) -> str:
    if before is None:
        return ""
    if mine.trained.trainer != before.trained.trainer:
        return f"trainer: {before.trained.trainer} → {mine.trained.trainer}"
    new, old = rows.get(mine.trained.run_id), rows.get(before.trained.run_id)
    if new is None or old is None:
        return ""
    names = sorted(name for name in {*new.params, *old.params} if new.params.get(name) != old.params.get(name))
    changes = [_change(name, old.params.get(name), new.params.get(name)) for name in names if not is_bookkeeping(name)]
    more = f" and {len(changes) - _MOST} more" if len(changes) > _MOST else ""
    return f"{', '.join(changes[:_MOST])}{more}" if changes else "the same parameters"


def _change(name: str, old: str | None, new: str | None) -> str:
    return f"{shorten(name, 40)}: {shorten(old or 'none', 30)} → {shorten(new or 'none', 30)}"


def _moved(new: float, old: float) -> str:
    return "the same" if abs(new - old) < _MOVED else f"{new - old:+.3f}"


def _bundle_steps(mine: _Facts, before: _Facts | None) -> list[Step]:
    event = mine.exported
    if event is None:
        return [Step("Bundle", "not exported", "")]
    variants = [figures.variant for figures in event.parity if figures.kept]
    text = f"{event.bundle[:12]}, {event.megabytes:.1f} MB: {', '.join(variants)}"
    old = before.exported if before else None
    if old is None:
        return [Step("Bundle", text, "")]
    had = {figures.variant for figures in old.parity if figures.kept}
    parts = [_added(set(variants), had, "variant"), f"{event.megabytes - old.megabytes:+.1f} MB"]
    return [
        Step("Bundle", text, ", ".join(part for part in parts if part not in {"the same", "+0.0 MB", "-0.0 MB"}) or "the same")
    ]
