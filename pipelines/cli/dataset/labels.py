"""`modelyard data label-errors`, `propose`, `review` and `apply-review`: labels doubted, proposed, decided and changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.options import (
    JOB,
    DataFolder,
    HomeFolder,
    JobFile,
    chosen_data,
    chosen_dataset,
    datasets_of,
    open_home,
    read_home,
)
from pipelines.cli.output import AsJson, answer, bar, say, table

if TYPE_CHECKING:
    from pipelines.data.labels.errors import LabelReport
    from pipelines.data.labels.propose import Proposer
    from pipelines.home import Home
    from registry.reports.reviews import Candidate, Decision, Review

_SHOWN = 40
_DIGITS = 12


def label_errors(
    *,
    data: DataFolder = None,
    out: Annotated[Path | None, typer.Option(help="Where the contact sheet goes.  [default: in the home's reviews]")] = None,
    most: Annotated[int, typer.Option(help="Pictures that are checked, at most.", min=10, max=200_000)] = 20_000,
    job_file: JobFile = JOB,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Find labels that are likely wrong, as a classifier sees them that was trained on the other clips."""
    from pipelines.data.labels.errors import find_label_errors
    from pipelines.data.labels.sheet import write_sheet
    from registry.reports.reviews import Review

    opened = open_home(home)
    dataset = chosen_dataset(opened, data, job_file)
    with bar() as progress:
        report = find_label_errors(dataset, progress, most)
    review = Review.of(opened.settings.home, dataset.manifest.digest)
    review.suggest("label-error", report.candidates)
    sheet = (out or review.folder) / "label-errors.jpg"
    if report.candidates:
        write_sheet(sheet, report.candidates, (dataset.folder, review.folder))
    rows = [_candidate_row(candidate, None) for candidate in report.candidates]
    facts = {"data": str(dataset.folder), "digest": dataset.manifest.digest, "checked": report.checked, "of": report.total}
    facts |= {"agreement": round(report.accuracy, 4), "unchecked": dict(report.unchecked), "groups": report.groups}
    answer(facts | {"sheet": str(sheet) if rows else None, "candidates": rows}, as_json=as_json)
    if not as_json:
        _show_report(report, sheet)


def propose(
    *,
    model: Annotated[
        str, typer.Option("--with", metavar="REF|BUNDLE|NAME", help="A version, a bundle's folder, or an installed proposer.")
    ],
    data: DataFolder = None,
    images: Annotated[Path | None, typer.Option(help="A folder of pictures that the data set does not have.")] = None,
    least: Annotated[float, typer.Option(help="How sure the model must be.", min=0, max=1)] = 0.5,
    job_file: JobFile = JOB,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Let a model propose labels, or a detector boxes. They count for nothing until they are accepted in a review."""
    from pipelines.data.labels.propose import Asked, propose_for, propose_new
    from registry.reports.reviews import Review

    opened = open_home(home)
    dataset = chosen_dataset(opened, data, job_file)
    review = Review.of(opened.settings.home, dataset.manifest.digest)
    asked = Asked(_proposer(opened, model), model, least)
    with bar() as progress:
        new = partial(propose_new, dataset, review, images) if images else partial(propose_for, dataset)
        proposals = new(asked, progress)
    review.suggest("proposal", proposals.candidates)
    rows = [_candidate_row(candidate, None) for candidate in proposals.candidates]
    facts = {"data": str(dataset.folder), "digest": dataset.manifest.digest, "by": model, "skipped": dict(proposals.skipped)}
    answer(facts | {"candidates": rows}, as_json=as_json)
    if not as_json:
        _show_candidates(f"{len(rows)} proposals by {model}", proposals.candidates, {})
        for reason, count in proposals.skipped.items():
            say(f"{count} pictures: {reason}")
        print("proposals count once they are accepted: `modelyard dashboard --review` or `modelyard data review --accept SHA`")


def review(
    *,
    data: DataFolder = None,
    accept: Annotated[list[str] | None, typer.Option(metavar="SHA", help="Take what is suggested; may be repeated.")] = None,
    accept_clip: Annotated[list[str] | None, typer.Option(metavar="CLIP", help="The same for a whole clip.")] = None,
    reject: Annotated[list[str] | None, typer.Option(metavar="SHA", help="Keep the label; leave a new picture out.")] = None,
    relabel: Annotated[list[str] | None, typer.Option(metavar="SHA=CLASS", help="Give it another class.")] = None,
    drop: Annotated[list[str] | None, typer.Option(metavar="SHA", help="Leave the picture out of the next version.")] = None,
    undo: Annotated[list[str] | None, typer.Option(metavar="SHA", help="Take a decision back.")] = None,
    who: Annotated[str | None, typer.Option("--as", help="Who decides.  [default: this account]")] = None,
    job_file: JobFile = JOB,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """List what is suggested about a data set's labels, or decide about it. `apply-review` makes the next version of it."""
    from pipelines.data.labels.decide import Choices, decide
    from pipelines.identity import whoami
    from registry.reports.reviews import Review

    opened = read_home(home)
    dataset = chosen_dataset(opened, data, job_file)
    the_review = Review.of(opened.settings.home, dataset.manifest.digest)
    choices = Choices(accept or (), accept_clip or (), reject or (), relabel or (), drop or (), undo or ())
    fresh = decide(dataset, the_review, choices, whoami(opened.settings, who).name) if choices else []
    _show_review(dataset.manifest.digest, the_review, fresh, as_json=as_json)


def apply_review(*, data: DataFolder = None, job_file: JobFile = JOB, home: HomeFolder = None, as_json: AsJson = False) -> None:
    """Make the next version of a data set of what was decided about it. Its splits stay."""
    from pipelines.data.labels.revise import apply_review as make_revision

    opened = open_home(home)
    folder, model = datasets_of(opened).newest(chosen_data(opened, data, job_file))
    with bar() as progress:
        revision = make_revision(folder, opened.settings.home, progress, model)
    manifest = revision.data.manifest
    facts = {"data": str(folder), "digest": manifest.digest, "version": manifest.version, "parent": manifest.parent}
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(revision.counts.items()))
    text = f"version {manifest.version} of {folder}: {counts} (digest {manifest.digest[:12]})"
    nothing = f"{folder}: nothing is decided that is not in version {manifest.version} already"
    answer(facts | {"changes": dict(revision.counts)}, as_json=as_json, text=text if counts else nothing)


def _proposer(opened: Home, name: str) -> Proposer:
    """A bundle's folder, an installed proposer, or a version's bundle."""
    from pipelines.data.labels.propose import installed_proposers, load_proposer
    from pipelines.queries.asking import BundleAsker
    from pipelines.queries.predict import last_bundle
    from registry.errors import InputError
    from registry.refs import parse_ref
    from serving.bundle.bundle import open_bundle

    if (Path(name) / "bundle.json").is_file():
        return BundleAsker(open_bundle(Path(name)), name)
    if name in installed_proposers():
        return load_proposer(name)
    try:
        ref = parse_ref(name)
    except InputError as error:
        known = ", ".join(installed_proposers()) or "none"
        remedy = f"give NAME/VERSION, NAME@production, a bundle's folder, or an installed proposer (installed: {known})"
        raise InputError(f"--with {name}", "is no version, no bundle and no proposer", remedy) from error
    version, bundle = last_bundle(opened.store(), opened.ledger(), ref)
    return BundleAsker(bundle, str(version.ref))


def _candidate_row(candidate: Candidate, decision: Decision | None) -> dict[str, Any]:
    """A suggestion for machines."""
    outcome = decision.model_dump(mode="json", exclude={"sha256"}) if decision else None
    return candidate.model_dump(mode="json") | {"decision": outcome}


def _show_report(report: LabelReport, sheet: Path) -> None:
    """The suggestions, and what they are worth."""
    _show_candidates(f"{len(report.candidates)} labels of {report.checked} pictures are likely wrong", report.candidates, {})
    clips = {(row.clip, row.label): row for row in report.candidates if row.whole_clip}
    for (clip, label), row in clips.items():
        print(f"clip {clip}: nearly all of its pictures look like '{row.suggested}', not '{label}'")
    for label, count in report.unchecked.items():
        print(f"class {label} has {count} clip{'' if count == 1 else 's'}: its labels cannot be checked; two are needed")
    if report.groups == "unknown":
        print("groups are unknown: pictures of one take may confirm each other's wrong labels")
    print(f"the classifier that judged agrees with {report.accuracy:.0%} of the labels; the lower, the less this is worth")
    if report.candidates:
        print(f"pictures: {sheet}\ndecide: `modelyard dashboard --review`, or `modelyard data review --accept SHA`")


def _show_review(digest: str, the_review: Review, fresh: list[Decision], *, as_json: bool) -> None:
    candidates, decisions = the_review.candidates(), the_review.decisions()
    rows = [_candidate_row(candidate, decisions.get(candidate.sha256)) for candidate in candidates]
    undecided = sum(row["decision"] is None for row in rows)
    facts = {"digest": digest, "recorded": [decision.model_dump(mode="json") for decision in fresh]}
    answer(facts | {"undecided": undecided, "candidates": rows}, as_json=as_json)
    if not as_json:
        for decision in fresh:
            print(decision)
        _show_candidates(f"{undecided} of {len(rows)} suggestions are undecided", candidates, decisions)
        if decisions:
            print(f"{len(decisions)} decided; `modelyard data apply-review` makes the next version of the data set")


def _show_candidates(title: str, candidates: Sequence[Candidate], decisions: Mapping[str, Decision]) -> None:
    rows = [
        (
            row.sha256[:_DIGITS],
            row.file,
            row.label,
            row.suggested,
            f"{row.score:.2f}",
            row.by,
            _decided(decisions.get(row.sha256)),
        )
        for row in candidates[:_SHOWN]
    ]
    table(title, ["SHA", "picture", "label", "suggested", "score", "by", "decision"], rows)
    if len(candidates) > _SHOWN:
        print(f"and {len(candidates) - _SHOWN} more; --json gives all")


def _decided(decision: Decision | None) -> str:
    if decision is None:
        return ""
    return f"{decision.action} {decision.label}".strip()


def add_to(group: typer.Typer) -> None:
    """Add these commands."""
    group.command("label-errors")(label_errors)
    group.command()(propose)
    group.command()(review)
    group.command("apply-review")(apply_review)
