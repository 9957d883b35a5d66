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
from serving.bundle.seal import BundleIndex, seal
from serving.bundle.variants import KNOWN, MAIN
from serving.export.card import write_card
from serving.export.latency import measure_latency
from serving.export.parity import compare, failed, judge, worst
from serving.export.pipeline import ExportPipeline, Say
from serving.export.request import Built, ExportRequest, Measured, Tools
from serving.export.transformers import write_transformers

_TOOLS = ("modelyard", "onnx", "onnxruntime", "onnxscript", "torch", "pillow", "numpy")


def build_bundle(order: ExportRequest, folder: Path, tools: Tools, say: Say) -> Built:
    """Write the bundle to `folder` (replacing an older one when it is whole), then time it where it lies.

    A variant that is not within its limits is measured and left out; the figures say so.
    """
    check_request(order)
    with building(folder) as work, tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
        measured = ExportPipeline(order, work, Path(scratch), tools, say).run()
        parity = figures_of(order, measured)
        for figures in parity:
            if not figures.kept:
                say(f"{figures.variant} is left out: {figures.note}")
                _remove(work, figures.variant)
        write_json(work / "preprocess.json", asdict(order.reference.info.preprocess))
        write_json(work / "labels.json", order.reference.info.labels)
        write_atomic(work / "card.md", write_card(order.facts, order.reference.info, parity).encode())
        write_transformers(work, order.reference.info)
        seal(work, _index(order))
        latency = None
        if (work / MAIN.path).exists():
            say("latency in a fresh process")
            latency = measure_latency(work, order.images[:20], tools.bounds)
    return Built(open_bundle(folder), parity, latency, measured)


def check_request(order: ExportRequest) -> None:
    """Find what cannot work before any converter is started."""
    info = order.reference.info
    others = order.of("other")
    if info.task == "detect" and (unfit := [*order.of("transformersjs"), *others]):
        raise InputError(unfit[0].variant.name, "is made of classifiers only", "leave it out of `export:` for a detector")
    starved = [one.variant.name for one in order.wanted if one.variant.precision == "int8" and one.required]
    if starved and not order.calibration:
        remedy = "give the data set a train split, or say `required: false`"
        raise InputError(starved[0], "there are no training images to calibrate it with", remedy)


def figures_of(order: ExportRequest, measured: Measured) -> list[ParityFigures]:
    """Every wanted variant's figures, held to its limits."""
    found: list[ParityFigures] = []
    for one in order.of("onnx", "tfjs", "transformersjs", "other"):
        name = one.variant.name
        if name in measured.answers:
            every = [answers[name] for answers in (measured.answers, measured.served) if name in answers]
            least = order.reference.info.suppression.score
            found.append(judge(worst([compare(name, measured.trained, answers, least) for answers in every]), one))
        else:
            found.append(failed(one, len(order.images), measured.failed.get(name, "was not made")))
    return found


def _remove(work: Path, name: str) -> None:
    """Take a variant out of a bundle that is being made."""
    place = work / (KNOWN[name].path if name in KNOWN else name)
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
    if name.startswith("transformersjs") and not list(place.parent.glob("*.onnx")):
        shutil.rmtree(work / "transformersjs", ignore_errors=True)
    if name.startswith("tfjs") and place.parent.is_dir() and not any(place.parent.iterdir()):
        place.parent.rmdir()


def _index(order: ExportRequest) -> BundleIndex:
    model, _, number = order.facts.label.rpartition("/")
    tools = {"python": sys.version.split()[0]}
    for name in _TOOLS:
        try:
            tools[name] = version(name)
        except PackageNotFoundError:
            continue
    return BundleIndex(model=model, version=int(number), model_digest=order.facts.digest, files={}, tools=tools)
