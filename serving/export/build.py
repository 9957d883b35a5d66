"""From a registered model's folder to a sealed bundle, with its parity and latency."""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from registry.errors import InputError
from registry.files import building, write_atomic, write_json
from registry.records import ParityFigures
from serving.bundle.bundle import open_bundle
from serving.bundle.modelinfo import ModelInfo
from serving.bundle.seal import BundleIndex, seal
from serving.bundle.variants import KNOWN, MAIN
from serving.export.card import write_card
from serving.export.latency import LATENCY_IMAGES, measure_latency
from serving.export.parity import compare, failed, judge, worst
from serving.export.pipeline import ExportPipeline, Say
from serving.export.request import Built, ExportRequest, Measured, Tools
from serving.export.transformers import write_transformers

_TOOLS = ("modelyard", "onnx", "onnxruntime", "onnxscript", "torch", "pillow", "numpy")


def build_bundle(request: ExportRequest, folder: Path, tools: Tools, say: Say) -> Built:
    """Write the bundle to `folder` (replacing an older one once complete), then measure its latency there.

    A variant that exceeds its limits is measured and left out; its figures say so.
    """
    check_request(request)
    with building(folder) as work, tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
        measured = ExportPipeline(request, work, Path(scratch), tools, say).run()
        parity = figures_of(request, measured)
        for figures in parity:
            if not figures.kept:
                say(f"{figures.variant} is left out: {figures.note}")
                _remove(work, figures.variant)
        write_json(work / "preprocess.json", asdict(request.reference.info.preprocess))
        write_json(work / "labels.json", request.reference.info.labels)
        if request.reference.info.task == "detect":
            write_json(work / "detector.json", _decoding(request.reference.info))
        write_atomic(work / "card.md", write_card(request.facts, request.reference.info, parity).encode())
        write_transformers(work, request.reference.info)
        seal(work, _index(request))
        latency = None
        if (work / MAIN.path).exists():
            say("latency in a fresh process")
            latency = measure_latency(work, request.images[:LATENCY_IMAGES], tools.bounds)
    return Built(open_bundle(folder), parity, latency, measured)


def check_request(request: ExportRequest) -> None:
    """Reject what cannot work before any converter starts."""
    info = request.reference.info
    others = request.of("other")
    if info.task == "detect" and (unfit := [*request.of("transformersjs"), *others]):
        raise InputError(unfit[0].variant.name, "is available for classifiers only", "leave it out of `export:` for a detector")
    uncalibrated = [spec.variant.name for spec in request.wanted if spec.variant.precision == "int8" and spec.required]
    if uncalibrated and not request.calibration:
        remedy = "give the data set a train split, or say `required: false`"
        raise InputError(uncalibrated[0], "there are no training images to calibrate it with", remedy)


def figures_of(request: ExportRequest, measured: Measured) -> list[ParityFigures]:
    """Every requested variant's figures, judged by its limits."""
    parity: list[ParityFigures] = []
    for spec in request.of("onnx", "tfjs", "litert", "transformersjs", "other"):
        name = spec.variant.name
        if name in measured.answers:
            every = [answers[name] for answers in (measured.answers, measured.served) if name in answers]
            least = request.reference.info.suppression.score
            parity.append(judge(worst([compare(name, measured.trained, answers, least) for answers in every]), spec))
        else:
            parity.append(failed(spec, len(request.images), measured.failed.get(name, "was not made")))
    return parity


def _decoding(info: ModelInfo) -> dict[str, object]:
    """How a detector's raw output becomes boxes, for clients of variants whose graph does not decode it."""
    return {"strides": list(info.strides), **info.suppression.plain()}


def _remove(work: Path, name: str) -> None:
    """Remove a variant from a bundle that is being built."""
    path = work / (KNOWN[name].path if name in KNOWN else name)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if name.startswith("transformersjs") and not list(path.parent.glob("*.onnx")):
        shutil.rmtree(work / "transformersjs", ignore_errors=True)
    if name.startswith(("tfjs", "litert")) and path.parent.is_dir() and not any(path.parent.iterdir()):
        path.parent.rmdir()


def _index(request: ExportRequest) -> BundleIndex:
    model, _, number = request.facts.label.rpartition("/")
    tools = {"python": sys.version.split()[0]}
    for name in _TOOLS:
        try:
            tools[name] = version(name)
        except PackageNotFoundError:
            continue
    return BundleIndex(model=model, version=int(number), model_digest=request.facts.digest, files={}, tools=tools)
