"""From a registered model's folder to a sealed bundle, with its parity and latency."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from registry.files import building, write_atomic, write_json
from registry.records import Latency, ParityFigures
from serving.bundle import Bundle, BundleIndex, open_bundle, seal
from serving.export.card import Facts, write_card
from serving.export.child import run_child
from serving.export.latency import measure_latency
from serving.export.onnx import export_program, tidy
from serving.export.parity import compare, onnx_answers, tfjs_answers
from serving.export.reference import Reference

_TF_CONVERT = Path(__file__).with_name("tf_convert.py")
_TOOLS = ("modelyard", "onnx", "onnxruntime", "torch", "pillow", "numpy")


@dataclass(frozen=True, slots=True)
class Tools:
    """The interpreters that exporting needs beside this one."""

    tf_python: Path
    node: str
    node_modules: Path


@dataclass(frozen=True, slots=True)
class Order:
    """What to export: a version's bytes, which TF.js variants, and the held-out images to measure on."""

    reference: Reference
    facts: Facts
    variants: Sequence[str]
    images: Sequence[Path]


@dataclass(frozen=True, slots=True)
class Built:
    """A sealed bundle and what was measured of it."""

    bundle: Bundle
    parity: list[ParityFigures]
    latency: Latency


def build_bundle(order: Order, folder: Path, tools: Tools, say: Callable[[str], None]) -> Built:
    """Write the bundle to `folder` (replacing an older one when it is whole), then measure it where it lies."""
    with building(folder) as work:
        _write_models(order, work, tools, say)
        write_json(work / "preprocess.json", order.reference.info.preprocess.model_dump(mode="json"))
        write_json(work / "labels.json", order.reference.info.labels)
        write_atomic(work / "card.md", write_card(order.facts, order.reference.info).encode())
        seal(work, _index(order))
    bundle = open_bundle(folder)
    return Built(bundle, measure_parity(order, bundle, tools, say), _latency(bundle, order, say))


def measure_parity(order: Order, bundle: Bundle, tools: Tools, say: Callable[[str], None]) -> list[ParityFigures]:
    """Every variant against the trained model, on the order's images."""
    say(f"parity: the trained model on {len(order.images)} images")
    trained = order.reference.probabilities(order.images)
    say("parity: ONNX Runtime")
    figures = [compare("onnx", trained, onnx_answers(bundle, order.images))]
    for name, model in bundle.tfjs.items():
        say(f"parity: {name} in Node")
        found = tfjs_answers(tools.node, tools.node_modules, model, bundle.preprocess.size, order.images)
        figures.append(compare(name, trained, found))
    return figures


def _latency(bundle: Bundle, order: Order, say: Callable[[str], None]) -> Latency:
    say("latency in a fresh process")
    return measure_latency(bundle.folder, order.images[:20])


def _write_models(order: Order, work: Path, tools: Tools, say: Callable[[str], None]) -> None:
    """`model.onnx` and `tfjs/<variant>/`."""
    source, target = order.reference.folder, work / "model.onnx"
    provenance = {"model": order.facts.label, "digest": order.facts.digest, "labels": "\n".join(order.reference.info.labels)}
    with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
        job: dict[str, object] = {"tfjs": str((work / "tfjs").absolute()), "variants": list(order.variants)}
        if order.reference.info.framework == "torch":
            say("ONNX: exporting the trained program")
            export_program(source / "data" / "model.pt2", target, provenance)
            job["onnx"] = str(target.absolute())
        else:
            job |= {"keras": str((source / "data" / "model.keras").absolute()), "onnx_out": f"{scratch}/keras.onnx"}
        if order.variants or "keras" in job:
            run_child([tools.tf_python, "-I", _TF_CONVERT], job, "TensorFlow's converters", on_line=say)
        if "keras" in job:
            shutil.move(f"{scratch}/keras.onnx", target)
            tidy(target, provenance)


def _index(order: Order) -> BundleIndex:
    model, _, number = order.facts.label.rpartition("/")
    tools = {"python": sys.version.split()[0]}
    for name in _TOOLS:
        try:
            tools[name] = version(name)
        except PackageNotFoundError:
            continue
    return BundleIndex(model=model, version=int(number), model_digest=order.facts.digest, files={}, tools=tools)
