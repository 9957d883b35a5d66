"""What MLflow's pages of a model and of a version say of it, written for who opens them first: made from the ledger."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from shlex import quote

from registry.events import AnyEvent, Deployed, Evaluated, Exported, Quoted, Trained
from registry.promotion.state import PromotionState, fold
from registry.protocols import Entry
from registry.records import Evaluation, ModelVersion
from registry.reports.accuracy import VersionKey, own_evaluations
from registry.reports.attempts import Attempt, gates_table, newest_attempts, why
from registry.reports.endpoints import existing_deployments
from registry.reports.markdown import address, code, facts_table, fitted, plain, run_picture, table, usd
from registry.stages import Stage

_MOST_CLASSES, _MOST_LABELS = 20, 900
_MOST_VERSIONS, _MOST_VARIANTS = 15, 8
_HEADLINES = (("top1", "top-1"), ("map50_95", "mAP50-95"))
_ASKING = {
    "local": "curl --data-binary @PICTURE {url}/predict",
    "runpod": 'curl -H "Authorization: Bearer $ENDPOINT_KEY" --data-binary @PICTURE {url}/predict',
    "huggingface": 'curl -H "Authorization: Bearer $ENDPOINT_TOKEN" -H "Content-Type: image/jpeg" --data-binary @PICTURE {url}',
}
"""How a target's endpoint is asked over HTTP; RunPod's queues, whose addresses end otherwise, take JSON."""
_QUEUE = "/runsync"


def describe_version(
    entries: Sequence[Entry], version: ModelVersion, run: Mapping[str, str], files: Collection[str] = ()
) -> str:
    """A version in Markdown. `run` are the tags of its training run, `files` the plots that are there."""
    key = (version.model, version.version, version.created_ms)
    rows = [row.event for row in entries if row.flaw is None and version_key(row.event) == key]
    evaluation = own_evaluations(entries).get(key) or _elsewhere(rows)
    stage = fold(entries).stage_of(version.identity)
    facts = [("stage", stage.value)] if stage is not Stage.NONE else []
    facts += [*score_facts(evaluation), *money_facts(rows), *_exports(rows)]
    attempts = [attempt for attempt in newest_attempts(entries) if version_key(attempt.event) == key]
    ref = quote(str(version.ref))
    deployed = [event for event in existing_deployments(entries) if version_key(event) == key]
    use = [f"- Try it: {code(f'modelyard predict {ref} PICTURE')}", *(line for event in deployed for line in _asking(event))]
    if stage is not Stage.PRODUCTION:
        further = Stage.PRODUCTION if stage is Stage.STAGING else Stage.STAGING
        use.append(f"- Promote it: {code(f'modelyard promote {ref} {further}')}")
    use.append(f"- Its evidence: {code(f'modelyard history {quote(version.model)}')}")
    return fitted(
        [
            (0, headline(evaluation)),
            (0, _origin(rows, evaluation, run)),
            (1, facts_table(facts)),
            (2, gates_table(attempts)),
            (3, "\n".join(use)),
            *((4, picture) for picture in _pictures(version, evaluation, files)),
        ]
    )


def describe_model(entries: Sequence[Entry], model: str) -> str:
    """A model in Markdown: what it tells apart, what serves production, and its versions with scores, cost and stages."""
    rows = [row.event for row in entries if row.flaw is None]
    trained = {version_key(event): event for event in rows if isinstance(event, Trained)}
    scores, state = own_evaluations(entries), fold(entries)
    newest = max(scores, key=lambda key: (key[2], key[1]), default=None)
    name = quote(model)
    trainings = f"""modelyard runs --where "experiment = '{model}'\""""
    use = [
        f"- Use it: {code(f'modelyard predict {name}@production PICTURE')}",
        f"- Compare its trainings: {code(trainings)}",
        f"- Who promoted what, on which evidence: {code(f'modelyard history {name}')}",
    ]
    return fitted(
        [
            (0, _what(scores[newest] if newest else _elsewhere(rows))),
            (1, facts_table(_in_production(entries, model, scores, state))),
            (3, _versions(trained, scores, state)),
            (2, "\n".join(use)),
        ]
    )


def _versions(trained: Mapping[VersionKey, Trained], scores: Mapping[VersionKey, Evaluation], state: PromotionState) -> str:
    """The newest versions, and those that hold a stage."""
    shown = _shown(trained, state)
    rows = [_line(key, trained[key], scores.get(key), state) for key in shown]
    versions = table(["version", "stage", "score (95 % interval)", "trainer", "training"], rows, "rlllr")
    older = f"\n\nand {len(trained) - len(shown)} older versions" if len(shown) < len(trained) else ""
    return f"**Versions**\n\n{versions}{older}" if versions else ""


def _in_production(
    entries: Sequence[Entry], model: str, scores: Mapping[VersionKey, Evaluation], state: PromotionState
) -> list[tuple[str, str]]:
    """What serves production, what its gates said, what it costs and where it is asked; and a newer version's attempt."""
    attempts = [attempt for attempt in newest_attempts(entries) if attempt.event.stage is Stage.PRODUCTION]
    holder = state.holders.get(Stage.PRODUCTION)
    if holder is None:
        facts = [("in production", "no version")]
        return [*facts, *(("newest attempt", _attempt(attempt)) for attempt in attempts[:1])]
    key = (model, *holder.identity)
    facts = [("in production", f"version {holder.identity[0]}, {headline(scores.get(key))}")]
    facts += [("its gates", f"{attempt.verdict}: {why(attempt)}") for attempt in attempts if version_key(attempt.event) == key]
    if attempts and version_key(attempts[0].event) != key:
        facts.append(("newest attempt", _attempt(attempts[0])))
    rows = [row.event for row in entries if row.flaw is None and version_key(row.event) == key]
    deployed = [event for event in existing_deployments(entries) if event.stage is Stage.PRODUCTION and not event.endpoint]
    facts += [("cost", _monthly(event)) for event in deployed] or [
        (name, value) for name, value in money_facts(rows) if name == f"serving at {Stage.PRODUCTION}"
    ]
    return facts + [("endpoint", code(url)) for event in deployed if (url := address(event.url))]


def _attempt(attempt: Attempt) -> str:
    return f"version {attempt.event.version}, {attempt.verdict}: {why(attempt)}"


def _monthly(event: Deployed) -> str:
    most = f", at most {usd(event.max_usd_per_month)}" if event.max_usd_per_month else ""
    return f"{usd(event.usd_per_month)} a month on {plain(event.target)}{most}"


def _asking(event: Deployed) -> list[str]:
    """Where a deployed version answers, and how it is asked; nothing for what is no address."""
    if not (url := address(event.url).rstrip("/")):
        return []
    how = _ASKING.get(event.target, "") if not url.endswith(_QUEUE) else ""
    asked = f": {code(how.format(url=url))}" if how else ""
    return [f"- Its endpoint for {event.stage} on {plain(event.target)}, {code(url)}{asked}"]


def _pictures(version: ModelVersion, evaluation: Evaluation | None, files: Collection[str]) -> list[str]:
    """The plots of its evaluation, out of its training run."""
    split = evaluation.split if evaluation else ""
    named = {f"plots/confusion_{split}.png": "Confusion matrix", f"plots/mistakes_{split}.jpg": "Mistakes, the surest first"}
    pictures = [(words, run_picture(words, version.run_id, file)) for file, words in named.items() if file in files]
    return [f"**{words}** ({split} images)\n\n{picture}" for words, picture in pictures if picture]


def version_key(event: AnyEvent) -> VersionKey:
    """The version that an event is about."""
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


def _line(key: VersionKey, trained: Trained, evaluation: Evaluation | None, state: PromotionState) -> list[str]:
    stage = state.stage_of(key[1:])
    spent = f"{trained.seconds:.0f} s, {usd(trained.usd)}"
    return [str(key[1]), stage if stage is not Stage.NONE else "", headline(evaluation), plain(trained.trainer), spent]


def headline(evaluation: Evaluation | None) -> str:
    """One short line: MLflow's list of versions shows its first 32 characters."""
    if evaluation is None:
        return "not evaluated yet"
    name, words = _headline_metric(evaluation)
    low, high = evaluation.interval
    return f"{plain(words)} {evaluation.metrics[name]:.3f} ({low:.3f} to {high:.3f})"


def _headline_metric(evaluation: Evaluation) -> tuple[str, str]:
    named = [(name, words) for name, words in _HEADLINES if name in evaluation.metrics]
    return named[0] if named else (name := next(iter(evaluation.metrics)), name)


def _what(evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return "A model that was not evaluated yet: `modelyard evaluate NAME/VERSION`."
    count, labels = len(evaluation.classes), list[str]()
    for score in evaluation.classes[:_MOST_CLASSES]:
        if sum(map(len, labels)) < _MOST_LABELS:
            labels.append(plain(score.label))
    more = f" and {count - len(labels)} more" if count > len(labels) else ""
    kind = "Classifier" if _headline_metric(evaluation)[0] == "top1" else "Detector"
    return f"{kind} of {count} classes: {', '.join(labels)}{more}"


def _origin(rows: Sequence[AnyEvent], evaluation: Evaluation | None, run: Mapping[str, str]) -> str:
    """What it is, how it was made, and on what."""
    trained = next((event for event in reversed(rows) if isinstance(event, Trained)), None)
    parts = [f"{_what(evaluation)}."] if evaluation else []
    if trained is None:
        return " ".join([*parts, "Trained elsewhere and registered: nobody here saw its training."])
    name = run.get("mlflow.runName", "")
    how = f"Trained by {plain(trained.trainer)}" + (f" as run {plain(name)}" if name else "")
    known_as = run.get("modelyard.dataset", "")
    digest = trained.dataset[:12]
    named = f" {plain(known_as)}" if known_as and known_as != digest else ""
    return " ".join([*parts, f"{how}, on data set{named} ({digest})."])


def score_facts(evaluation: Evaluation | None) -> list[tuple[str, str]]:
    """The score and what it is of, the weakest class, and what is left without leaked images."""
    if evaluation is None:
        return []
    where = f"{evaluation.images:,} {evaluation.split} images of {evaluation.clips:,} clips"
    facts = [("score", f"{headline(evaluation)}, on {where}")]
    if evaluation.classes:
        worst = min(evaluation.classes, key=lambda score: score.recall)
        facts.append(("weakest class", f"{plain(worst.label)}: recall {worst.recall:.3f}, precision {worst.precision:.3f}"))
    if (leaked := evaluation.leaked) and evaluation.headline in leaked.metrics:
        facts.append(("without leaked images", f"{evaluation.score_name} {leaked.metrics[evaluation.headline]:.3f}"))
    return facts


def money_facts(rows: Sequence[AnyEvent]) -> list[tuple[str, str]]:
    """What a version's training cost, and what serving it would."""
    facts = [
        ("training", f"{event.seconds:.0f} s on {plain(event.hardware)}, {usd(event.usd)}")
        for event in rows
        if isinstance(event, Trained)
    ][-1:]
    quotes = {event.stage: event for event in rows if isinstance(event, Quoted)}
    return facts + [
        (f"serving at {stage}", f"{_most(quote)}{usd(quote.usd_per_month)} a month on {plain(quote.target)}, quoted")
        for stage, quote in quotes.items()
        if quote.usd_per_month is not None
    ]


def _exports(rows: Sequence[AnyEvent]) -> list[tuple[str, str]]:
    exported = next((event for event in reversed(rows) if isinstance(event, Exported)), None)
    if exported is None:
        return []
    kept = [plain(figures.variant) for figures in exported.parity if figures.kept]
    more = f" and {len(kept) - _MOST_VARIANTS} more" if len(kept) > _MOST_VARIANTS else ""
    variants = ", ".join(kept[:_MOST_VARIANTS]) + more
    latency = f", p95 {exported.latency.p95_ms:.0f} ms a picture" if exported.latency else ""
    return [("exported", f"{variants}: {exported.megabytes:.1f} MB{latency}")]


def _most(quote: Quoted) -> str:
    return "at most " if quote.terms and quote.usd_per_month else ""
