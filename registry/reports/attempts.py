"""What the gates said of each version at each stage the last time that they were asked; and an attempt in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from shlex import quote
from typing import NamedTuple

from registry.events import Promoted, Published, Refused, named
from registry.protocols import Entry
from registry.records import Finding
from registry.reports.attention import remedy
from registry.reports.markdown import code, facts_table, fitted, plain, prose, run_link, table
from registry.stages import Stage

_MOST_FINDINGS, _LONGEST = 8, 200
_WHEN = "%Y-%m-%d %H:%M UTC"


class Attempt(NamedTuple):
    """A row in which gates judged a version, what it says, and the MLflow run with its evidence ("" before that is there)."""

    entry: Entry
    event: Promoted | Refused
    run_id: str = ""

    @property
    def passed(self) -> bool:
        """Whether every gate let it pass."""
        return isinstance(self.event, Promoted)

    @property
    def verdict(self) -> str:
        """The verdict and when it was given, in words."""
        return f"{'✓ passed' if self.passed else '✗ refused'} {self.entry.at:{_WHEN}}"


def newest_attempts(entries: Iterable[Entry]) -> list[Attempt]:
    """Each version's newest attempt at each stage, the newest first. A return judges nothing, so it is none."""
    newest, runs = dict[tuple[object, ...], Attempt](), dict[int, str]()
    for entry in entries:
        event = entry.event
        if isinstance(event, Published) and entry.flaw is None:
            runs[event.row] = event.run_id
        elif isinstance(event, (Promoted, Refused)) and entry.flaw is None and not getattr(event, "again", None):
            newest[event.model, event.identity, event.stage] = Attempt(entry, event)
    attempts = [attempt._replace(run_id=runs.get(attempt.entry.seq, "")) for attempt in newest.values()]
    return sorted(attempts, key=lambda attempt: -attempt.entry.seq)


def gates_table(attempts: Sequence[Attempt]) -> str:
    """One row for each stage that a version was judged for: the verdict, and the figures with their thresholds in words."""
    order = [Stage.STAGING, Stage.PRODUCTION]
    shown = sorted(attempts, key=lambda attempt: order.index(attempt.event.stage))
    rows = [(attempt.event.stage.value, attempt.verdict, why(attempt)) for attempt in shown]
    return f"**Gates**\n\n{table(['stage', 'verdict', 'why'], rows)}" if rows else ""


def why(attempt: Attempt) -> str:
    """What decided an attempt, in words: each reason against it, or what was measured; and where to read more."""
    event = attempt.event
    decisive = [finding for finding in event.findings if attempt.passed or not finding.passed]
    parts = "; ".join(plain(finding.text, _LONGEST) for finding in decisive[:_MOST_FINDINGS])
    more = len(decisive) - _MOST_FINDINGS
    sentences = [f"{parts}; and {more} more" if more > 0 else parts]
    if isinstance(event, Refused) and event.advice:
        sentences.append(f"What would help most: {prose(event.advice, 300)}")
    sentences.append(run_link("report", attempt.run_id))
    return ". ".join(sentence for sentence in sentences if sentence)


def describe_attempt(attempt: Attempt) -> str:
    """An attempt as the page of its run in MLflow has it: the verdict, then each gate's figure and threshold."""
    event = attempt.event
    failed = sum(not finding.passed for finding in event.findings)
    checks = f"{len(event.findings)} checks"
    count = f"passed** all {checks}" if attempt.passed else f"refused** by {failed} of {checks}"
    verdict = f"**{plain(event.label)} for {event.stage}: {count}"
    advice, command = "", f"- What became of it: {code(f'modelyard history {quote(event.model)}')}"
    if isinstance(event, Refused):
        advice = f"What would help most: {prose(event.advice, 300)}" if event.advice else ""
        command = f"- What would fix it: {code(remedy(event))}"
    facts = [("asked by", plain(named(event.actor, proven=event.proven))), ("when", f"{attempt.entry.at:{_WHEN}}")]
    facts += [("model bytes", code(event.digest[:12])), ("row of the ledger", str(attempt.entry.seq))]
    files = "- Under Artifacts: the whole report `00_report.html`, and the signed row `evidence.json`"
    return fitted(
        [(0, verdict), (0, advice), (2, _findings(event.findings)), (3, facts_table(facts)), (1, f"{files}\n{command}")]
    )


def _findings(findings: Sequence[Finding]) -> str:
    """What failed comes first: a page shows the beginning of a text, and the rest when it is asked to."""
    order = sorted(findings, key=lambda finding: finding.passed)
    rows = [
        (
            "✓" if finding.passed else "✗",
            plain(finding.gate),
            "" if finding.figure is None else f"{finding.figure:.4g}",
            "" if finding.limit is None else f"{finding.limit:.4g}",
            plain(finding.text, _LONGEST),
        )
        for finding in order[: 2 * _MOST_FINDINGS]
    ]
    more = len(findings) - 2 * _MOST_FINDINGS
    rows += [("", "", "", "", f"and {more} more, in the report")] if more > 0 else []
    return table(["", "gate", "figure", "threshold", "in words"], rows, "llrrl")
