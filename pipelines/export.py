"""Exporting a version: a sealed bundle, its parity and latency in the ledger, its figures and pictures on the run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.dataset import DataSet
from pipelines.exports import wanted_of
from pipelines.policy import current_policy
from pipelines.samples import for_calibration, held_out
from registry.digests import digest_of, manifest_of
from registry.errors import IntegrityError, ModelyardError, NotFoundError
from registry.events import Exported, Scanned, about
from registry.evidence import gather
from registry.files import building, write_atomic, write_json
from registry.judging import resolve
from registry.records import Evidence, ModelVersion, ParityFigures
from registry.refs import Ref
from registry.signing import open_keyring
from registry.yard import Yard
from serving.bundle import Bundle, open_bundle
from serving.export.awkward import make_awkward
from serving.export.build import build_bundle, check_order, figures_of
from serving.export.card import Facts, missing_from, write_card
from serving.export.measure import measure_bundle
from serving.export.order import Built, Measured, Order
from serving.export.reference import Answers, Reference, class_scores
from serving.modelinfo import read_info
from serving.sealed import INDEX, seal
from serving.signature import sign_bundle
from serving.variants import Wanted, want
from validation.scan import scan_folder

if TYPE_CHECKING:
    from collections.abc import Generator

    from pipelines.jobfile import Job
    from pipelines.wiring import Say, Workshop

AWKWARD_IMAGES = 14
CALIBRATION_IMAGES = 100
SMOKE_IMAGES = 20


def export(workshop: Workshop, yard: Yard, job: Job | None, ref: Ref, say: Say, names: Iterable[str] = ()) -> Exported:
    """Export a version's exact bytes; a bundle that still stands and has every variant is found, not made again.

    Without a job, the model's policy says which variants; `names` are variants beyond those.
    """
    version = resolve(yard.store, ref)
    job = job or current_policy(yard.ledger.entries(version.model))
    wanted = wanted_of(job.export if job else (), names)
    with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
        folder = yard.store.fetch(version, Path(scratch))
        digest = digest_of(manifest_of(folder))
        found = standing(yard, version, digest, wanted)
        evidence = gather(yard.ledger.entries(version.model), version, digest)
        check_files(folder, version)
        reference = Reference(folder, read_info(folder, version.ref), workshop.settings.tf_python)
        facts = _facts(version, evidence)
        if found and (Path(found.path) / "card.md").read_text() == write_card(facts, reference.info):
            say(f"{version.ref}: the bundle of these bytes stands")
            return found
        if found:  # scores that came later belong on the card
            say(f"{version.ref}: the bundle of these bytes stands; its card is written again")
            return _keep(workshop, yard, version, _with_card(found, facts, reference))
        data = workshop.dataset(reference.info.dataset, version.ref)
        data.verify()
        place = workshop.settings.bundles / version.model / f"{version.version}-{digest[:12]}"
        with _images(data, workshop.settings.parity_images) as images:
            calibration = data.files(for_calibration(data, CALIBRATION_IMAGES))
            order = Order(reference, facts, wanted, images, calibration)
            check_order(order)
            tensorflow = reference.info.framework == "keras"
            tools = workshop.tools(tfjs=bool(order.of("tfjs")), tensorflow=tensorflow)
            built = build_bundle(order, place, tools, say)
        _keep_smoke(place, data, reference.info.labels, built.measured.trained)
    return _keep(workshop, yard, version, _event(version, digest, built), built)


def parity(workshop: Workshop, yard: Yard, ref: Ref, say: Say) -> tuple[list[ParityFigures], Measured]:
    """Measure a version's standing bundle again, variant by variant. Nothing is recorded and nothing changes."""
    version = resolve(yard.store, ref)
    with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
        folder = yard.store.fetch(version, Path(scratch))
        digest = digest_of(manifest_of(folder))
        event = standing(yard, version, digest)
        if event is None:
            raise NotFoundError(version.ref, "has no bundle of these bytes", f"run `modelyard export {version.ref}`")
        bundle = open_exported(event)
        kept = [one for one in event.parity if one.kept]
        wanted = [want(one.variant, one.limits, required=one.required) for one in kept]
        reference = Reference(folder, read_info(folder, version.ref), workshop.settings.tf_python)
        data = workshop.dataset(reference.info.dataset, version.ref)
        with _images(data, workshop.settings.parity_images) as images:
            order = Order(reference, _facts(version, gather([], version, digest)), wanted, images)
            tools = workshop.tools(tfjs=bool(order.of("tfjs")), tensorflow=reference.info.framework == "keras")
            measured = measure_bundle(order, bundle, tools, say)
            return figures_of(order, measured), measured


def check_files(folder: Path, version: ModelVersion) -> None:
    """Raise IntegrityError where the scanner calls one of a version's files dangerous: none is opened then."""
    if dangerous := scan_folder(folder).dangerous:
        raise IntegrityError(version.ref, f"holds a dangerous file: {dangerous[0]}", "do not use it; train it again")


def standing(yard: Yard, version: ModelVersion, digest: str, wanted: Sequence[Wanted] = ()) -> Exported | None:
    """The last export of these bytes whose bundle is still there, unchanged, and in which each variant was judged so."""
    key = (*version.identity, digest)
    for entry in reversed(yard.ledger.entries(version.model)):
        event = entry.event
        if isinstance(event, Exported) and (*event.identity, event.digest) == key and entry.flaw is None:
            return event if _stands(event, wanted) else None
    return None


def open_exported(event: Exported) -> Bundle:
    """An export's bundle, checked byte by byte and against the digest in the ledger."""
    bundle = open_bundle(Path(event.path))
    if bundle.index.digest != event.bundle:
        raise ModelyardError(event.path, "is not the bundle that was measured", "export the version again")
    return bundle


def smoke_folder(bundle: Path) -> Path:
    """Where held-out images and the trained model's answers lie, beside a bundle and not in it."""
    return bundle.with_name(f"{bundle.name}.smoke")


def report_of(parity: Sequence[ParityFigures]) -> str:
    """The table of a parity report, as Markdown."""
    lines = [
        "| variant | images | agreement | max diff | mean diff | mAP diff | wrong image | in the bundle |",
        "|---|" + "---|" * 7,
    ]
    for one in parity:
        loss = "" if one.map_difference is None else f"{one.map_difference:.1e}"
        figures = f"{one.top1_agreement:.3f} | {one.max_abs_diff:.1e} | {one.mean_abs_diff:.1e} | {loss}"
        kept = "yes" if one.kept else f"no: {one.note}"
        lines.append(f"| {one.variant} | {one.images} | {figures} | {one.control_agreement:.3f} | {kept} |")
    return "\n".join(lines) + "\n"


def write_report(folder: Path, parity: Sequence[ParityFigures], measured: Measured) -> None:
    """A parity report as files: parity.json, parity.md, scatter.png."""
    from pipelines.plots import parity_figure

    with building(folder) as work:
        write_json(work / "parity.json", [figures.model_dump(mode="json") for figures in parity])
        write_atomic(work / "parity.md", report_of(parity).encode())
        parity_figure(measured).savefig(work / "scatter.png", dpi=120)


@contextmanager
def _images(data: DataSet, count: int) -> Generator[list[Path]]:
    """Held-out images, and awkward ones made of them, while the block runs."""
    chosen = data.files(held_out(data, count))
    with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
        yield chosen + make_awkward(chosen[:AWKWARD_IMAGES], Path(scratch))


def _facts(version: ModelVersion, evidence: Evidence) -> Facts:
    return Facts(str(version.ref), evidence.digest, evidence.evaluation, evidence.train_usd)


def _stands(event: Exported, wanted: Sequence[Wanted]) -> bool:
    try:
        bundle = open_exported(event)
    except ModelyardError:
        return False
    judged = {one.variant: one.limits for one in event.parity if one.made}
    same = all(judged.get(one.variant.name) == one.limits for one in wanted)
    return same and smoke_folder(bundle.folder).is_dir()


def _with_card(event: Exported, facts: Facts, reference: Reference) -> Exported:
    """The same bundle with a new card; nothing is converted or measured again."""
    bundle = open_exported(event)
    with building(bundle.folder) as work:
        shutil.copytree(bundle.folder, work, dirs_exist_ok=True, ignore=shutil.ignore_patterns(INDEX))
        write_atomic(work / "card.md", write_card(facts, reference.info).encode())
        seal(work, bundle.index)
    fresh = open_bundle(bundle.folder)
    missing = missing_from((fresh.folder / "card.md").read_text())
    return event.model_copy(update={"bundle": fresh.index.digest, "megabytes": fresh.megabytes, "card_missing": missing})


def _keep_smoke(bundle: Path, data: DataSet, labels: list[str], trained: Answers) -> None:
    """Keep some held-out frames and the trained model's answers, for smoke tests wherever the bundle goes."""
    rows = held_out(data, SMOKE_IMAGES)
    answers = class_scores(trained[: len(rows)], len(labels))
    with building(smoke_folder(bundle)) as work:
        for place, file in enumerate(data.files(rows)):
            shutil.copy2(file, work / f"{place:02d}{file.suffix}")
        expected = [
            {"file": f"{place:02d}{Path(row.file).suffix}", "truth": row.label, "probabilities": answer.tolist()}
            for place, (row, answer) in enumerate(zip(rows, answers, strict=True))
        ]
        write_json(work / "expected.json", {"labels": labels, "images": expected})


def _event(version: ModelVersion, digest: str, built: Built) -> Exported:
    return Exported(
        **about(version, digest),
        bundle=built.bundle.index.digest,
        path=str(built.bundle.folder.absolute()),
        megabytes=built.bundle.megabytes,
        parity=built.parity,
        latency=built.latency,
        card_missing=missing_from((built.bundle.folder / "card.md").read_text()),
    )


def _keep(workshop: Workshop, yard: Yard, version: ModelVersion, event: Exported, built: Built | None = None) -> Exported:
    """Show an export on the training run, then record it and its scan: what is recorded is not made again."""
    sign_bundle(Path(event.path), open_keyring(workshop.settings.key, workshop.settings.trusted))
    if version.run_id:
        _show(workshop, version, event, built)
    yard.ledger.append(event)
    yard.ledger.append(Scanned(**about(version, event.digest), what="bundle", scan=scan_folder(Path(event.path))))
    return event


def _show(workshop: Workshop, version: ModelVersion, event: Exported, built: Built | None) -> None:
    """Bundle, report and figures on the run; only the bundle where nothing was measured anew."""
    bundle = Path(event.path)
    with workshop.tracker(version.model).resume(version.run_id) as run:
        run.folder(bundle, f"bundle/{event.bundle[:12]}")  # MLflow would mix it with the files of an older one
        if built is None:
            return
        with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
            write_report(Path(scratch) / "parity", event.parity, built.measured)
            run.folder(Path(scratch) / "parity", "parity")
        shown = {"bundle_mb": event.megabytes} | ({"latency_p95_ms": event.latency.p95_ms} if event.latency else {})
        shown |= {f"parity_{figures.variant}_max_abs_diff": figures.max_abs_diff for figures in event.parity}
        run.metrics(shown)
