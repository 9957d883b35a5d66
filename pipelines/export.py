"""Exporting a version: a sealed bundle, its parity and latency in the ledger, its figures on the run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.dataset import DataSet
from pipelines.samples import held_out
from pipelines.wiring import tfjs_variants
from registry.errors import ModelyardError
from registry.events import Exported, Scanned, about
from registry.evidence import gather
from registry.files import building, digest_of, manifest_of, write_json
from registry.judging import resolve
from registry.records import ModelVersion
from registry.refs import Ref
from registry.yard import Yard
from serving.bundle import Bundle, open_bundle
from serving.export.build import Built, Order, build_bundle
from serving.export.card import Facts, missing_from
from serving.export.reference import Reference
from serving.modelinfo import read_info
from validation.scan import scan_folder

if TYPE_CHECKING:
    from pipelines.jobfile import Job
    from pipelines.wiring import Say, Workshop

PARITY_IMAGES = 200
SMOKE_IMAGES = 20


def export(workshop: Workshop, yard: Yard, job: Job, ref: Ref, say: Say) -> Exported:
    """Export a version's exact bytes; a bundle that still stands and has every variant is found, not made again."""
    version = resolve(yard.store, ref)
    with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
        folder = yard.store.fetch(version, Path(scratch))
        digest = digest_of(manifest_of(folder))
        found = standing(yard, version, digest, tfjs_variants(job))
        evidence = gather(yard.ledger.entries(version.model), version, digest)
        if found and not (found.card_missing and evidence.evaluation):  # scores that came later belong on the card
            say(f"{version.ref}: the bundle of these bytes stands")
            return found
        reference = Reference(folder, read_info(folder, version.ref), workshop.settings.tf_python)
        data = workshop.dataset(reference.info.dataset, version.ref)
        data.verify()
        facts = Facts(str(version.ref), digest, evidence.evaluation, evidence.train_usd)
        images = data.files(held_out(data, PARITY_IMAGES))
        place = workshop.settings.bundles / version.model / f"{version.version}-{digest[:12]}"
        order = Order(reference, facts, tfjs_variants(job), images)
        built = build_bundle(order, place, workshop.tools(tfjs=bool(tfjs_variants(job))), say)
        _keep_smoke(place, data, reference)
    event = _event(version, digest, built)
    yard.ledger.append(event)
    yard.ledger.append(Scanned(**about(version, digest), what="bundle", scan=scan_folder(built.bundle.folder)))
    _show(workshop, job, version, built)
    return event


def standing(yard: Yard, version: ModelVersion, digest: str, variants: Sequence[str] = ()) -> Exported | None:
    """The last export of these bytes whose bundle is still there, unchanged, with at least these TF.js variants."""
    key = (*version.identity, digest)
    for entry in reversed(yard.ledger.entries(version.model)):
        event = entry.event
        if isinstance(event, Exported) and (*event.identity, event.digest) == key and entry.flaw is None:
            return event if _stands(event, variants) else None
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


def _stands(event: Exported, variants: Sequence[str]) -> bool:
    try:
        bundle = open_exported(event)
    except ModelyardError:
        return False
    return {f"tfjs-{variant}" for variant in variants} <= bundle.tfjs.keys() and smoke_folder(bundle.folder).is_dir()


def _keep_smoke(bundle: Path, data: DataSet, reference: Reference) -> None:
    """Keep some held-out frames and the trained model's answers, for smoke tests wherever the bundle goes."""
    rows = held_out(data, SMOKE_IMAGES)
    answers = reference.probabilities(data.files(rows))
    with building(smoke_folder(bundle)) as work:
        for place, file in enumerate(data.files(rows)):
            shutil.copy2(file, work / f"{place:02d}{file.suffix}")
        expected = [
            {"file": f"{place:02d}{Path(row.file).suffix}", "truth": row.label, "probabilities": answer.tolist()}
            for place, (row, answer) in enumerate(zip(rows, answers, strict=True))
        ]
        write_json(work / "expected.json", {"labels": data.manifest.labels, "images": expected})


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


def _show(workshop: Workshop, job: Job, version: ModelVersion, built: Built) -> None:
    """Put the bundle and its figures on the training run."""
    if not version.run_id:
        return
    with workshop.tracker(job.model).resume(version.run_id) as run:
        run.folder(built.bundle.folder, "bundle")
        run.json([figures.model_dump() for figures in built.parity], "bundle_parity.json")
        shown = {"latency_p95_ms": built.latency.p95_ms, "bundle_mb": built.bundle.megabytes}
        shown |= {f"parity_{figures.variant}_max_abs_diff": figures.max_abs_diff for figures in built.parity}
        run.metrics(shown)
