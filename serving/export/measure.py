"""Measuring a bundle again, one variant after the other, so that the latencies are valid, too."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from serving.bundle.bundle import Bundle
from serving.export.litert import LitertAnswers
from serving.export.request import ExportRequest, Measured, Tools
from serving.export.runtimes import ask_onnx, other_answers, read_tfjs, tfjs_answers
from serving.export.subprocess_job import Ties


def measure_bundle(request: ExportRequest, bundle: Bundle, tools: Tools, say: Callable[[str], None]) -> Measured:
    """The answers of the trained model and of every requested variant of a sealed bundle, which stays unchanged."""
    say(f"the trained model on {len(request.images)} images")
    measured = Measured(trained=request.reference.probabilities(request.images))
    for spec in request.of("onnx", "transformersjs"):
        name = spec.variant.name
        say(f"{name} in ONNX Runtime")
        ask_onnx(measured, name, bundle.variant(name), request)
    with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
        _tfjs(request, bundle, tools, measured, Path(scratch), say)
        _litert(request, bundle, tools, measured, Path(scratch), say)
        for spec in request.of("other"):
            name = spec.variant.name
            say(f"{name} in its own runtime")
            measured.answers[name] = other_answers(request, tools, name, (None, bundle.variant(name)), Path(scratch))
    return measured


def _tfjs(
    request: ExportRequest, bundle: Bundle, tools: Tools, measured: Measured, scratch: Path, say: Callable[[str], None]
) -> None:
    """TF.js in Node, on links to the variants, since Node leaves its answers beside what it read."""
    folders = {spec.variant.name: scratch / spec.variant.name for spec in request.of("tfjs")}
    if not folders:
        return
    say(f"{', '.join(folders)} in Node")
    ties = Ties()
    for name, link in folders.items():
        link.symlink_to(bundle.variant(name).absolute(), target_is_directory=True)
        ties.feed.put(str(link))
    ties.feed.put(None)
    tfjs_answers(request, tools, folders, ties)
    for name, link in folders.items():
        if answered := read_tfjs(link, request.most):
            measured.answers[name], measured.ms[name] = answered


def _litert(
    request: ExportRequest, bundle: Bundle, tools: Tools, measured: Measured, scratch: Path, say: Callable[[str], None]
) -> None:
    """LiteRT's runtime, on links to the variants, since it leaves its answers beside what it read."""
    files = {spec.variant.name: scratch / f"{spec.variant.name}.tflite" for spec in request.of("litert")}
    if not files:
        return
    say(f"{', '.join(files)} in LiteRT")
    ties = Ties()
    for name, link in files.items():
        link.symlink_to(bundle.variant(name).absolute())
        ties.feed.put(str(link))
    ties.feed.put(None)
    runtime = LitertAnswers(request, tools, scratch)
    runtime.run(ties)
    for name, link in files.items():
        if answered := runtime.read(link):
            measured.answers[name], measured.ms[name] = answered
        elif why := runtime.why_not(link):
            measured.failed[name] = why
