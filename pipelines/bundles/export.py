"""Exporting a version: a sealed bundle, its parity and latency in the ledger, its figures and pictures on the run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.bundles.store import clear, find_identical, find_valid, link_tree, open_exported, put, smoke_folder, workbench
from pipelines.data.dataset import DataSet
from pipelines.data.describe import describe_data
from pipelines.data.samples import for_calibration, held_out
from pipelines.job.exports import variant_specs, with_kept
from pipelines.job.policy import current_policy
from registry.digests import digest_of, manifest_of
from registry.errors import IntegrityError, ModelyardError, NotFoundError
from registry.events import Exported, Scanned, about
from registry.files import building, write_atomic, write_json
from registry.promotion.context import PromotionContext
from registry.promotion.evidence import gather
from registry.promotion.verdict import resolve
from registry.records import Evidence, ModelVersion, ParityFigures
from registry.refs import Ref
from registry.signing import open_keyring
from serving.bundle.modelinfo import read_info
from serving.bundle.seal import INDEX, SIGNATURE, seal
from serving.bundle.signature import sign_bundle
from serving.bundle.variants import VariantSpec, variant_spec
from serving.export.build import build_bundle, check_request, figures_of
from serving.export.card import Facts, missing_from, section_of, write_card
from serving.export.hard_images import make_hard_images
from serving.export.measure import measure_bundle
from serving.export.reference import Answers, Reference, class_scores
from serving.export.request import Built, ExportRequest, Measured
from validation.scan import scan_folder

if TYPE_CHECKING:
    from collections.abc import Generator

    from pipelines.home import Say, Workshop
    from pipelines.job.jobfile import Job

HARD_IMAGES = 14
CALIBRATION_IMAGES = 100
SMOKE_IMAGES = 20


def export(
    workshop: Workshop, context: PromotionContext, job: Job | None, ref: Ref, say: Say, names: Sequence[str] = ()
) -> Exported:
    """Export a version's exact bytes; a bundle that still stands and has every variant is found, not made again.

    Without a job, the model's policy says which variants; `names` are variants beyond those. What an earlier export of
    the same bytes was asked for stays. Whoever calls holds the model's lease.
    """
    version = resolve(context.store, ref)
    job = job or current_policy(context.ledger.entries(version.model))
    with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
        folder = context.store.fetch(version, Path(scratch))
        digest = digest_of(manifest_of(folder))
        check_files(folder, version)
        reference = Reference(folder, read_info(folder, version.ref), workshop.settings.tf_python)
        return _Exporting(workshop, context, version, digest, reference, say).run(
            variant_specs(job.export if job else (), names)
        )


@dataclass(frozen=True)
class _Exporting:
    """One version on its way to a bundle that the ledger names."""

    workshop: Workshop
    context: PromotionContext
    version: ModelVersion
    digest: str
    reference: Reference
    say: Say

    def run(self, wanted: list[VariantSpec]) -> Exported:
        """Find it, or take it over from a version of the same bytes, or make it."""
        ref = self.version.ref
        if found := find_valid(self.context, self.version, self.digest, wanted):
            if not self._outdated(found):
                self.say(f"{ref}: the bundle of these bytes stands")
                return found
            self.say(f"{ref}: the bundle of these bytes stands; its card is written again")
            return self._with_card(found)
        before = find_valid(self.context, self.version, self.digest)
        wanted = with_kept(wanted, before.parity if before else ())
        if other := find_identical(self.context, self.version, self.digest, wanted):
            self.say(f"{ref}: has the bytes of {other.label}, whose bundle is taken over")
            return self._with_card(other.model_copy(update=about(self.version, self.digest)))
        return self._make(wanted)

    @property
    def _shelf(self) -> Path:
        return self.workshop.settings.bundles / self.version.model

    def _make(self, wanted: list[VariantSpec]) -> Exported:
        """Convert and measure everything."""
        data, info = self._data(), self.reference.info
        data.verify()
        with (
            _images(data, self.workshop.settings.parity_images) as images,
            workbench(self._shelf, self.version.version) as bench,
        ):
            calibration = data.files(for_calibration(data, CALIBRATION_IMAGES))
            order = ExportRequest(self.reference, self._facts(describe_data(data)), wanted, images, calibration)
            check_request(order)
            tools = self.workshop.tools(tfjs=bool(order.of("tfjs")), tensorflow=info.framework == "keras")
            built = build_bundle(order, bench / "bundle", tools, self.say)
            _keep_smoke(bench / "bundle", data, info.labels, built.measured.trained)
            built = replace(built, bundle=put(bench / "bundle", self.version.version))
        return self._keep(_event(self.version, self.digest, built), built)

    def _outdated(self, event: Exported) -> bool:
        """Whether a card says less than is known now: scores that came later belong on it."""
        card = (Path(event.path) / "card.md").read_text()
        return card != write_card(self._facts(section_of(card, "Data")), self.reference.info, event.parity)

    def _with_card(self, event: Exported) -> Exported:
        """The same bundle with a new card; nothing is converted or measured again."""
        bundle = open_exported(event)
        data = section_of((bundle.folder / "card.md").read_text(), "Data")
        if not data:
            with suppress(NotFoundError):  # made before cards told of the data, which may be gone by now
                data = describe_data(self._data())
        with workbench(self._shelf, self.version.version) as bench:
            made = bench / "bundle"
            link_tree(bundle.folder, made, INDEX, SIGNATURE)
            link_tree(smoke_folder(bundle.folder), smoke_folder(made))
            card = write_card(self._facts(data), self.reference.info, event.parity)
            write_atomic(made / "card.md", card.encode())
            seal(made, bundle.index.changed(version=self.version.version))
            fresh = put(made, self.version.version)
        told = {"bundle": fresh.index.digest, "path": str(fresh.folder.absolute()), "megabytes": fresh.megabytes}
        return self._keep(event.model_copy(update=told | {"card_missing": missing_from(card)}))

    def _keep(self, event: Exported, built: Built | None = None) -> Exported:
        """Show an export on the training run, then record it and its scan: what is recorded is not made again.

        Whichever way it ends, bundles stay that the ledger counts on, and no others: where it fails, the one before.
        """
        settings, ledger = self.workshop.settings, self.context.ledger
        try:
            sign_bundle(Path(event.path), open_keyring(settings.key, settings.trusted))
            if self.version.run_id:
                _show(self.workshop, self.version, event, built)
            ledger.append(event)
            ledger.append(Scanned(**about(self.version, self.digest), what="bundle", scan=scan_folder(Path(event.path))))
        finally:
            with suppress(ModelyardError, ValueError):  # what cannot be told is not cleared
                used = [live.source for live in self.workshop.target().list()]
                clear(self._shelf, self.version.version, ledger.entries(self.version.model), used)
        return event

    def _data(self) -> DataSet:
        return self.workshop.dataset(self.reference.info.dataset, self.version.ref)

    def _facts(self, data: str) -> Facts:
        evidence = gather(self.context.ledger.entries(self.version.model), self.version, self.digest)
        return _facts(self.version, evidence, data)


def parity(workshop: Workshop, context: PromotionContext, ref: Ref, say: Say) -> tuple[list[ParityFigures], Measured]:
    """Measure a version's standing bundle again, variant by variant. Nothing is recorded and nothing changes."""
    version = resolve(context.store, ref)
    with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
        folder = context.store.fetch(version, Path(scratch))
        digest = digest_of(manifest_of(folder))
        event = find_valid(context, version, digest)
        if event is None:
            raise NotFoundError(version.ref, "has no bundle of these bytes", f"run `modelyard export {version.ref}`")
        bundle = open_exported(event)
        kept = [one for one in event.parity if one.kept]
        wanted = [variant_spec(one.variant, one.limits, required=one.required) for one in kept]
        reference = Reference(folder, read_info(folder, version.ref), workshop.settings.tf_python)
        data = workshop.dataset(reference.info.dataset, version.ref)
        with _images(data, workshop.settings.parity_images) as images:
            order = ExportRequest(reference, _facts(version, gather([], version, digest)), wanted, images)
            tools = workshop.tools(tfjs=bool(order.of("tfjs")), tensorflow=reference.info.framework == "keras")
            measured = measure_bundle(order, bundle, tools, say)
            return figures_of(order, measured), measured


def check_files(folder: Path, version: ModelVersion) -> None:
    """Raise IntegrityError where the scanner calls one of a version's files dangerous: none is opened then."""
    if dangerous := scan_folder(folder).dangerous:
        raise IntegrityError(version.ref, f"holds a dangerous file: {dangerous[0]}", "do not use it; train it again")


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
    from pipelines.evaluation.plots import parity_figure

    with building(folder) as work:
        write_json(work / "parity.json", [figures.model_dump(mode="json") for figures in parity])
        write_atomic(work / "parity.md", report_of(parity).encode())
        parity_figure(measured).savefig(work / "scatter.png", dpi=120)


@contextmanager
def _images(data: DataSet, count: int) -> Generator[list[Path]]:
    """Held-out images, and awkward ones made of them, while the block runs."""
    chosen = data.files(held_out(data, count))
    with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
        yield chosen + make_hard_images(chosen[:HARD_IMAGES], Path(scratch))


def _facts(version: ModelVersion, evidence: Evidence, data: str = "") -> Facts:
    return Facts(str(version.ref), evidence.digest, evidence.evaluation, evidence.train_usd, data)


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
