"""Copying the evidence of each attempt to MLflow, for people: a run with the signed row and a report that reads well.

The copy is never trusted. Whoever has the public key can check it: the row carries its hash and signature.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from registry.events import Promoted, Published, Refused, named
from registry.ledger.store import LedgerEntry
from registry.reports.attempts import Attempt, describe_attempt
from registry.reports.describe_run import NOTE
from registry.reports.markdown import merged

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.mlflow.tracker import Tracker
    from registry.promotion.due import View
    from registry.protocols import Ledger

REPORT = "00_report.html"
"""Above the evidence in MLflow's list of files."""
_STYLE = "body{font:15px/1.5 system-ui;margin:2rem;max-width:70rem}td,th{padding:.2rem .8rem;text-align:left}"
_STYLE += "tr.no td{background:#fdecea}code{font-size:90%}"


def publish_pending(ledger: Ledger, tracker: Callable[[str], Tracker], view: View, model: str | None = None) -> list[str]:
    """Publish what was judged and is not in MLflow yet; sentences of what was done."""
    lines: list[str] = []
    for name in [model] if model else sorted(view.models()):
        rows = view.rows(name)
        known = {entry.event.row for entry in rows if isinstance(entry.event, Published) and entry.flaw is None}
        for entry in rows:
            event = entry.event
            if not isinstance(event, (Promoted, Refused)) or event.proof is None or entry.seq in known:
                continue
            if isinstance(entry, LedgerEntry) and entry.flaw is None:
                lines.append(_publish(ledger, tracker(event.model), entry, event))
    return lines


def _publish(ledger: Ledger, tracker: Tracker, entry: LedgerEntry, event: Promoted | Refused) -> str:
    stage = event.stage.value
    mark = {"modelyard.row": entry.row.hash[:32]}
    run_id = tracker.find(mark)  # copied before, by a process that ended before it could say so
    if run_id is None:
        tags = {"modelyard.kind": "gates", "modelyard.outcome": event.kind}
        with tracker.run(f"gates {event.label} {stage}", tags) as run:
            run.json(dict(entry.envelope), "evidence.json")
            run.text(report(entry, event), REPORT)
            figures = {f"{number:02d}_{finding.gate}": finding.figure for number, finding in enumerate(event.findings, 1)}
            run.metrics({name: value for name, value in figures.items() if value is not None})
            run.params({"version": event.label, "stage": stage, "digest": event.digest, "policy": _policy(event)})
            run.tags({NOTE: merged("", describe_attempt(Attempt(entry, event))) or "", **mark})
            run_id = run.run_id
    published = Published(**event.subject, row=entry.seq, run_id=run_id)
    ledger.append(published)
    return str(published)


def _policy(event: Promoted | Refused) -> str:
    return event.proof.policy_hash if event.proof else ""


def report(entry: LedgerEntry, event: Promoted | Refused) -> str:
    """The attempt as a page: verdict, findings, what it rests on."""
    outcome = "passed" if isinstance(event, Promoted) else "refused"
    findings = "".join(
        f'<tr class="{"yes" if finding.passed else "no"}"><td>{"✓" if finding.passed else "✗"}</td>'
        f"<td>{escape(finding.gate)}</td><td>{escape(finding.text)}</td></tr>"
        for finding in event.findings
    )
    proof = event.proof
    facts = {
        "when": entry.at.isoformat(timespec="seconds"),
        "who": named(event.actor, proven=event.proven),
        "model bytes": event.digest,
        "data set": (proof.dataset if proof else None) or "not recorded",
        "policy": _policy(event),
        "tools": ", ".join(f"{name} {version}" for name, version in (proof.tools if proof else {}).items()),
        "ledger row": f"{entry.seq}, hash {entry.row.hash}, signed by key {entry.row.signer or 'none'}",
    }
    listed = "".join(f"<tr><th>{escape(name)}</th><td><code>{escape(value)}</code></td></tr>" for name, value in facts.items())
    files = "".join(
        f"<tr><td>{escape(name)}</td><td><code>{digest}</code></td></tr>"
        for name, digest in (proof.manifest if proof else {}).items()
    )
    advice = event.advice if isinstance(event, Refused) else ""
    helps = f"<p>What would help most: {escape(advice)}</p>" if advice else ""
    title = f"{escape(event.label)} for {event.stage}: {outcome}"
    note = "" if event.proven else "<p>The name is self-declared: the MLflow server has no logins, so it is unverified.</p>"
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>"
        f"<h1>{title}</h1><table>{findings}</table>{helps}<h2>On what it rests</h2><table>{listed}</table>{note}"
        f"<h2>Files that were judged</h2><table>{files}</table></html>"
    )
