"""Exporting a version: a sealed bundle, its parity and latency in the ledger, its figures and pictures on the run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.bundles.parity import ENOUGH, card_facts, parity_images, write_report
from pipelines.bundles.store import BundleStore, link_tree, open_exported, smoke_folder
from pipelines.bundles.tools import find_tools
from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet
from pipelines.data.describe import describe_data
from pipelines.data.samples import for_calibration, held_out
from pipelines.job.exports import variant_specs, with_kept
from pipelines.job.policy import current_policy
from registry.digests import digest_of, manifest_of
from registry.errors import IntegrityError, ModelyardError, NotFoundError
from registry.events import Exported, Promoted, Scanned, about
from registry.files import building, write_atomic, write_json
from registry.measured import conditions_in_words
from registry.promotion.evidence import gather
from registry.promotion.verdict import resolve
from registry.protocols import Ledger, Store
from registry.records import ModelVersion, ParityFigures
from registry.refs import Ref
from registry.settings import Settings
from registry.signing import open_keyring
from serving.bundle.modelinfo import ModelInfo, read_info
from serving.bundle.seal import INDEX, SIGNATURE, seal
from serving.bundle.signature import sign_bundle
from serving.bundle.variants import VariantSpec, variant_spec
from serving.export.build import build_bundle, check_request, figures_of
from serving.export.card import Facts, missing_from, section_of, write_card
from serving.export.latency import LATENCY_IMAGES, measure_latency
from serving.export.measure import measure_bundle
from serving.export.reference import Answers, Reference, class_scores
from serving.export.request import Built, ExportRequest, Measured, Tools
from validation.scan import scan_folder

if TYPE_CHECKING:
    from pipelines.home import Say
    from pipelines.job.jobfile import Job
    from registry.mlflow.tracker import Tracker

CALIBRATION_IMAGES = 100
SMOKE_IMAGES = 20


@dataclass(frozen=True)
class Exporter:
    """Makes bundles, and measures them. `folders_in_use` are those that a target of this machine serves from."""

    store: Store
    ledger: Ledger
    bundles: BundleStore
    datasets: DatasetCatalog
    tracker: Callable[[str], Tracker]
    folders_in_use: Callable[[], list[str]]
    settings: Settings
    say: Say

    def export(self, ref: Ref, job: Job | None = None, names: Sequence[str] = ()) -> Exported:
        """Export a version's exact bytes; a bundle that is valid still and has every variant is found, not made again.

        Without a job, the model's policy says which variants; `names` are variants beyond those. What an earlier export of
        the same bytes was asked for stays. Whoever calls holds the model's lease.
        """
        version = resolve(self.store, ref)
        job = job or current_policy(self.ledger.entries(version.model))
        with self._opened(version) as (digest, reference):
            return _Export(self, version, digest, reference).run(variant_specs(job.export if job else (), names))

    def measure_again(self, ref: Ref) -> tuple[list[ParityFigures], Measured]:
        """Measure a version's valid bundle again, variant by variant. Nothing is recorded and nothing changes."""
        version = resolve(self.store, ref)
        with self._opened(version) as (digest, reference):
            event = self.bundles.find_valid(version, digest)
            if event is None:
                raise NotFoundError(version.ref, "has no bundle of these bytes", f"run `modelyard export {version.ref}`")
            bundle = open_exported(event)
            kept = [figures for figures in event.parity if figures.kept]
            specs = [variant_spec(figures.variant, figures.limits, required=figures.required) for figures in kept]
            data = self.datasets.find(reference.info.dataset, version.ref)
            with parity_images(data, self.settings.parity_images) as images:
                request = ExportRequest(reference, card_facts(version, gather([], version, digest)), specs, images)
                measured = measure_bundle(request, bundle, self.tools_for(request), self.say)
                return figures_of(request, measured), measured

    def tools_for(self, request: ExportRequest) -> Tools:
        """The interpreters that a request needs."""
        tensorflow = request.reference.info.framework == "keras" or bool(request.of("litert"))
        return find_tools(self.settings, tfjs=bool(request.of("tfjs")), tensorflow=tensorflow)

    @contextmanager
    def _opened(self, version: ModelVersion) -> Generator[tuple[str, Reference]]:
        """A version's bytes by their digest, scanned before anything of them is opened."""
        with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
            folder = self.store.fetch(version, Path(scratch))
            digest = digest_of(manifest_of(folder))
            check_files(folder, version)
            yield digest, Reference(folder, read_info(folder, version.ref), self.settings.tf_python)


@dataclass(frozen=True)
class ExportHook:
    """Makes sure that a sealed, measured bundle of the promoted bytes exists."""

    exporter: Exporter
    job: Job
    name: str = "export"

    def run(self, promotion: Promoted) -> None:
        """Export, or find that it was done."""
        self.exporter.export(Ref(promotion.model, promotion.version), self.job)


@dataclass(frozen=True)
class _Export:
    """One version on its way to a bundle that the ledger names."""

    exporter: Exporter
    version: ModelVersion
    digest: str
    reference: Reference

    def run(self, specs: list[VariantSpec]) -> Exported:
        """Find it, or take it over from a version of the same bytes, or make it."""
        ref, bundles, say = self.version.ref, self.exporter.bundles, self.exporter.say
        valid = bundles.find_valid(self.version, self.digest, specs)
        if valid and self._compared(valid):
            valid = self._timed_again(valid)
            if not self._outdated(valid):
                say(f"{ref}: the bundle of these bytes is valid")
                return valid
            say(f"{ref}: the bundle of these bytes is valid; its card is written again")
            return self._with_card(valid)
        before = bundles.find_valid(self.version, self.digest)
        specs = with_kept(specs, before.parity if before else ())
        other = bundles.find_identical(self.version, self.digest, specs)
        if other and self._compared(other):
            say(f"{ref}: has the bytes of {other.label}, whose bundle is reused")
            return self._with_card(other.model_copy(update=about(self.version, self.digest)))
        return self._make(specs)

    def _compared(self, event: Exported) -> bool:
        """Whether parity was measured on enough images: earlier releases took only the held-out ones of a small data set."""
        least = min(self.exporter.settings.parity_images, ENOUGH)
        return all(figures.images >= least for figures in event.parity if figures.kept)

    def _timed_again(self, event: Exported) -> Exported:
        """The same export with a new latency, where the last one was measured while others kept the machine busy.

        The better one of the two stays, so that a machine that is busy still changes nothing.
        """
        before = event.latency
        if before is None or not before.disturbed:
            return event
        try:
            data = self._data()
        except NotFoundError:  # nothing to measure on here: what was measured counts
            return event
        self.exporter.say(f"{self.version.ref}: latency again, {conditions_in_words(before)} last time")
        latency = measure_latency(open_exported(event).folder, data.files(held_out(data, LATENCY_IMAGES)))
        if latency.p95_ms >= before.p95_ms and latency.disturbed:
            return event
        return self._keep(event.model_copy(update={"latency": latency}))

    def _make(self, specs: list[VariantSpec]) -> Exported:
        """Convert and measure everything."""
        exporter, data, info = self.exporter, self._data(), self.reference.info
        data.verify()
        with (
            parity_images(data, exporter.settings.parity_images) as images,
            exporter.bundles.workbench(self.version) as bench,
        ):
            calibration = data.files(for_calibration(data, CALIBRATION_IMAGES))
            request = ExportRequest(self.reference, self._facts(describe_data(data)), specs, images, calibration)
            check_request(request)
            built = build_bundle(request, bench / "bundle", exporter.tools_for(request), exporter.say)
            _keep_smoke(bench / "bundle", data, info, built.measured.trained)
            built = replace(built, bundle=exporter.bundles.publish(bench / "bundle", self.version))
        return self._keep(_event(self.version, self.digest, built), built)

    def _outdated(self, event: Exported) -> bool:
        """Whether a card says less than is known now: scores that came later belong on it."""
        card = (Path(event.path) / "card.md").read_text()
        return card != write_card(self._facts(section_of(card, "Data")), self.reference.info, event.parity)

    def _with_card(self, event: Exported) -> Exported:
        """The same bundle with a new card; nothing is converted or measured again."""
        bundle, bundles = open_exported(event), self.exporter.bundles
        data = section_of((bundle.folder / "card.md").read_text(), "Data")
        if not data:
            with suppress(NotFoundError):  # made before cards described the data, which may be gone by now
                data = describe_data(self._data())
        with bundles.workbench(self.version) as bench:
            made = bench / "bundle"
            link_tree(bundle.folder, made, INDEX, SIGNATURE)
            link_tree(smoke_folder(bundle.folder), smoke_folder(made))
            card = write_card(self._facts(data), self.reference.info, event.parity)
            write_atomic(made / "card.md", card.encode())
            seal(made, bundle.index.changed(version=self.version.version))
            fresh = bundles.publish(made, self.version)
        fields = {"bundle": fresh.index.digest, "path": str(fresh.folder.absolute()), "megabytes": fresh.megabytes}
        return self._keep(event.model_copy(update=fields | {"card_missing": missing_from(card)}))

    def _keep(self, event: Exported, built: Built | None = None) -> Exported:
        """Show an export on the training run, then record it and its scan: what is recorded is not made again.

        Whichever way it ends, bundles stay that the ledger counts on, and no others: where it fails, the one before.
        """
        exporter, settings = self.exporter, self.exporter.settings
        try:
            sign_bundle(Path(event.path), open_keyring(settings.key, settings.trusted))
            if self.version.run_id:
                _show(exporter.tracker(self.version.model), self.version.run_id, event, built)
            exporter.ledger.append(event)
            scan = scan_folder(Path(event.path))
            exporter.ledger.append(Scanned(**about(self.version, self.digest), what="bundle", scan=scan))
        finally:
            with suppress(ModelyardError, ValueError):  # where it is unknown what is served, nothing is removed
                exporter.bundles.remove_unused(self.version, exporter.folders_in_use())
        return event

    def _data(self) -> DataSet:
        return self.exporter.datasets.find(self.reference.info.dataset, self.version.ref)

    def _facts(self, data: str) -> Facts:
        evidence = gather(self.exporter.ledger.entries(self.version.model), self.version, self.digest)
        return card_facts(self.version, evidence, data)


def copy_bundle(event: Exported, to: Path) -> None:
    """Copy a checked bundle to a new folder, whole or not at all."""
    bundle = open_exported(event)
    with building(to) as work:
        shutil.copytree(bundle.folder, work, dirs_exist_ok=True)


def check_files(folder: Path, version: ModelVersion) -> None:
    """Raise IntegrityError where the scanner calls one of a version's files dangerous: none is opened then."""
    if dangerous := scan_folder(folder).dangerous:
        raise IntegrityError(version.ref, f"holds a dangerous file: {dangerous[0]}", "do not use it; train it again")


def _keep_smoke(bundle: Path, data: DataSet, info: ModelInfo, trained: Answers) -> None:
    """Keep some held-out frames and the trained model's answers, for smoke tests wherever the bundle goes."""
    rows = held_out(data, SMOKE_IMAGES)
    answers = class_scores(trained[: len(rows)], len(info.labels))
    with building(smoke_folder(bundle)) as work:
        for index, file in enumerate(data.files(rows)):
            shutil.copy2(file, work / f"{index:02d}{file.suffix}")
        detects = info.task == "detect"
        expected = [
            {
                "file": f"{index:02d}{Path(row.file).suffix}",
                "truth": row.label,
                "probabilities": answer.tolist(),
                # Left, top, right and bottom in the image's pixels, score, class: rows without a score are padding.
                "boxes": [box.tolist() for box in trained[index] if box[4] > 0] if detects else [],
            }
            for index, (row, answer) in enumerate(zip(rows, answers, strict=True))
        ]
        write_json(
            work / "expected.json",
            {"labels": info.labels, "images": expected, "least": info.suppression.score if detects else 0.0},
        )


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


def _show(tracker: Tracker, run_id: str, event: Exported, built: Built | None) -> None:
    """Bundle, report and figures on the run; only the bundle where nothing was measured anew."""
    bundle = Path(event.path)
    with tracker.resume(run_id) as run:
        run.folder(bundle, f"bundle/{event.bundle[:12]}")  # MLflow would mix it with the files of an older one
        if built is None:
            return
        with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
            write_report(Path(scratch) / "parity", event.parity, built.measured)
            run.folder(Path(scratch) / "parity", "parity")
        metrics = {"bundle_mb": event.megabytes} | ({"latency_p95_ms": event.latency.p95_ms} if event.latency else {})
        metrics |= {f"parity_{figures.variant}_max_abs_diff": figures.max_abs_diff for figures in event.parity}
        run.metrics(metrics)
