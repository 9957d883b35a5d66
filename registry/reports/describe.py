"""What MLflow's pages of a model and of a version say of it, written for who opens them first: made from the ledger.

What a person wrote there is never touched. Our part of a description ends in a comment, which the page does not show, with its
length and its digest: what stands before and after our part is kept, and a part that was edited is the person's from then on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal

from registry.digests import sha256_bytes
from registry.events import AnyEvent, Evaluated, Exported, Quoted, Trained
from registry.promotion.state import PromotionState, fold
from registry.protocols import Entry
from registry.records import Evaluation, ModelVersion
from registry.reports.accuracy import VersionKey, own_evaluations

MOST_CHARACTERS = 5000
"""What MLflow's column holds."""
_MARK = re.compile(r"\n*<!-- written by modelyard ([0-9a-f]{12}) (\d+); edit it, and it is yours -->")
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#$~])")
_MOST_CLASSES, _MOST_VERSIONS, _LONGEST_LABEL = 20, 15, 30
_HEADLINES = (("top1", "top-1"), ("map50_95", "mAP50-95"))


def merged(current: str, ours: str) -> str | None:
    """A description with our part brought up to date; None where nothing is to be written.

    A description without our part is a person's, unless it is empty; so is our part where a person edited it.
    """
    current = (current or "").replace("\r\n", "\n")
    written = f"{ours}\n\n<!-- written by modelyard {_digest(ours)} {len(ours)}; edit it, and it is yours -->"
    if not current.strip():
        return written if len(written) <= MOST_CHARACTERS else None
    mark = _MARK.search(current)
    if mark is None:
        return None
    start = mark.start() - int(mark[2])
    before = current[max(start, 0) : mark.start()]
    if start < 0 or _digest(before) != mark[1]:
        return None
    whole = current[:start] + written + current[mark.end() :]
    return whole if whole != current and len(whole) <= MOST_CHARACTERS else None


def _digest(text: str) -> str:
    return sha256_bytes(text.encode())[:12]


def describe_version(entries: Sequence[Entry], version: ModelVersion, run: Mapping[str, str]) -> str:
    """A version in Markdown. `run` are the tags of its training run; its name and its data set are among them."""
    key = (version.model, version.version, version.created_ms)
    rows = [row.event for row in entries if row.flaw is None and _key(row.event) == key]
    evaluation = own_evaluations(entries).get(key) or _elsewhere(rows)
    facts = [*_scores(evaluation), *_money(rows), *_exports(rows)]
    table = ["| | |", "|:--|:--|", *(f"| {name} | {value} |" for name, value in facts)] if facts else []
    ref = version.ref
    return "\n".join(
        [
            _headline(evaluation),
            "",
            _origin(rows, evaluation, run),
            *(["", *table] if table else []),
            "",
            f"- Try it: `modelyard predict {ref} PICTURE`",
            f"- Promote it: `modelyard promote {ref} staging`",
            f"- Its evidence: `modelyard history {version.model}`",
        ]
    )


def describe_model(entries: Sequence[Entry], model: str) -> str:
    """A model in Markdown: what it tells apart, and its versions with their scores, what they cost and where they serve."""
    rows = [row.event for row in entries if row.flaw is None]
    trained = {_key(event): event for event in rows if isinstance(event, Trained)}
    scores, state = own_evaluations(entries), fold(entries)
    newest = max(scores, key=lambda key: (key[2], key[1]), default=None)
    shown = _shown(trained, state)
    lines = [_what(scores[newest] if newest else _elsewhere(rows)), ""]
    if shown:
        lines += ["| version | stage | score (95 % interval) | trainer | training |", "|--:|:--|:--|:--|--:|"]
        lines += [_line(key, trained[key], scores.get(key), state) for key in shown]
        if len(shown) < len(trained):
            lines += ["", f"and {len(trained) - len(shown)} older versions"]
        lines += [""]
    return "\n".join(
        [
            *lines,
            f"- Use it: `modelyard predict {model}@production PICTURE`",
            f"- Compare its trainings: `modelyard runs --where \"experiment = '{model}'\"`",
            f"- Who promoted what, on which evidence: `modelyard history {model}`",
        ]
    )


def _key(event: AnyEvent) -> VersionKey:
    return (event.model, event.version, event.created_ms)


def _elsewhere(rows: Sequence[AnyEvent]) -> Evaluation | None:
    """The newest score of what was only registered; a version that was trained here is known by its own score alone."""
    if any(isinstance(event, Trained) for event in rows):
        return None
    return next((event.evaluation for event in reversed(rows) if isinstance(event, Evaluated)), None)


def _shown(trained: Mapping[VersionKey, Trained], state: PromotionState) -> list[VersionKey]:
    """The newest versions, and those that hold a stage, the newest first."""
    order = sorted(trained, key=lambda key: (key[2], key[1]), reverse=True)
    held = {holder.identity for holder in state.holders.values()}
    return [key for position, key in enumerate(order) if position < _MOST_VERSIONS or key[1:] in held]


def _line(key: VersionKey, trained: Trained, evaluation: Evaluation | None, state: PromotionState) -> str:
    stage = state.stage_of(key[1:])
    spent = f"{trained.seconds:.0f} s, {_usd(trained.usd)}"
    return f"| {key[1]} | {stage if stage != 'none' else ''} | {_headline(evaluation)} | {_plain(trained.trainer)} | {spent} |"


def _headline(evaluation: Evaluation | None) -> str:
    """One short line: MLflow's list of versions shows its first 32 characters."""
    if evaluation is None:
        return "not evaluated yet"
    name, words = _headline_metric(evaluation)
    low, high = evaluation.interval
    return f"{words} {evaluation.metrics[name]:.3f} ({low:.3f} to {high:.3f})"


def _headline_metric(evaluation: Evaluation) -> tuple[str, str]:
    named = [(name, words) for name, words in _HEADLINES if name in evaluation.metrics]
    return named[0] if named else (name := next(iter(evaluation.metrics)), name)


def _what(evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return "A model that was not evaluated yet: `modelyard evaluate NAME/VERSION`."
    labels = [_plain(score.label) for score in evaluation.classes]
    more = f" and {len(labels) - _MOST_CLASSES} more" if len(labels) > _MOST_CLASSES else ""
    kind = "Classifier" if _headline_metric(evaluation)[0] == "top1" else "Detector"
    return f"{kind} of {len(labels)} classes: {', '.join(labels[:_MOST_CLASSES])}{more}"


def _origin(rows: Sequence[AnyEvent], evaluation: Evaluation | None, run: Mapping[str, str]) -> str:
    """What it is, how it was made, and on what."""
    trained = next((event for event in reversed(rows) if isinstance(event, Trained)), None)
    parts = [f"{_what(evaluation)}."] if evaluation else []
    if trained is None:
        return " ".join([*parts, "Trained elsewhere and registered: nobody here saw its training."])
    name = run.get("mlflow.runName", "")
    how = f"Trained by {_plain(trained.trainer)}" + (f" as run {_plain(name)}" if name else "")
    known_as = run.get("modelyard.dataset", "")
    digest = trained.dataset[:12]
    named = f" {_plain(known_as)}" if known_as and known_as != digest else ""
    return " ".join([*parts, f"{how}, on data set{named} ({digest})."])


def _scores(evaluation: Evaluation | None) -> list[tuple[str, str]]:
    if evaluation is None:
        return []
    where = f"{evaluation.images:,} {evaluation.split} images of {evaluation.clips:,} clips"
    facts = [("score", f"{_headline(evaluation)}, on {where}")]
    if evaluation.classes:
        worst = min(evaluation.classes, key=lambda score: score.recall)
        facts.append(("weakest class", f"{_plain(worst.label)}: recall {worst.recall:.3f}, precision {worst.precision:.3f}"))
    if (leaked := evaluation.leaked) and evaluation.headline in leaked.metrics:
        facts.append(("without leaked images", f"{evaluation.score_name} {leaked.metrics[evaluation.headline]:.3f}"))
    return facts


def _money(rows: Sequence[AnyEvent]) -> list[tuple[str, str]]:
    facts = [
        ("training", f"{event.seconds:.0f} s on {_plain(event.hardware)}, {_usd(event.usd)}")
        for event in rows
        if isinstance(event, Trained)
    ][-1:]
    quotes = {event.stage: event for event in rows if isinstance(event, Quoted)}
    return facts + [
        (f"serving at {stage}", f"{_most(quote)}{_usd(quote.usd_per_month)} a month on {_plain(quote.target)}, quoted")
        for stage, quote in quotes.items()
        if quote.usd_per_month is not None
    ]


def _exports(rows: Sequence[AnyEvent]) -> list[tuple[str, str]]:
    exported = next((event for event in reversed(rows) if isinstance(event, Exported)), None)
    if exported is None:
        return []
    variants = ", ".join(_plain(figures.variant) for figures in exported.parity if figures.kept)
    latency = f", p95 {exported.latency.p95_ms:.0f} ms a picture" if exported.latency else ""
    return [("exported", f"{variants}: {exported.megabytes:.1f} MB{latency}")]


def _most(quote: Quoted) -> str:
    return "at most " if quote.terms and quote.usd_per_month else ""


def _usd(amount: Decimal) -> str:
    return f"${amount:f}" if amount < 1 else f"${amount:,.2f}"


def _plain(text: str) -> str:
    """A text that means nothing in Markdown or HTML, on one line and not too long."""
    line = " ".join(text.split())
    return _SPECIAL.sub(r"\\\1", line if len(line) <= 3 * _LONGEST_LABEL else f"{line[: 3 * _LONGEST_LABEL - 1]}…")
