"""Measuring a bundle again, one variant after the other, so that the milliseconds mean something too."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from serving.bundle.bundle import Bundle
from serving.export.request import ExportRequest, Measured, Tools
from serving.export.runtimes import ask_onnx, other_answers, read_tfjs, tfjs_answers
from serving.export.subprocess_job import Ties


def measure_bundle(order: ExportRequest, bundle: Bundle, tools: Tools, say: Callable[[str], None]) -> Measured:
    """The answers of the trained model and of every wanted variant of a sealed bundle, which is left as it is."""
    say(f"the trained model on {len(order.images)} images")
    measured = Measured(trained=order.reference.probabilities(order.images))
    for one in order.of("onnx", "transformersjs"):
        name = one.variant.name
        say(f"{name} in ONNX Runtime")
        ask_onnx(measured, name, bundle.variant(name), order)
    with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
        _tfjs(order, bundle, tools, measured, Path(scratch), say)
        for one in order.of("other"):
            name = one.variant.name
            say(f"{name} in its own runtime")
            measured.answers[name] = other_answers(order, tools, name, (None, bundle.variant(name)), Path(scratch))
    return measured


def _tfjs(
    order: ExportRequest, bundle: Bundle, tools: Tools, measured: Measured, scratch: Path, say: Callable[[str], None]
) -> None:
    """TF.js in Node, on links to the variants, since Node leaves its answers beside what it read."""
    folders = {one.variant.name: scratch / one.variant.name for one in order.of("tfjs")}
    if not folders:
        return
    say(f"{', '.join(folders)} in Node")
    ties = Ties()
    for name, link in folders.items():
        link.symlink_to(bundle.variant(name).absolute(), target_is_directory=True)
        ties.feed.put(str(link))
    ties.feed.put(None)
    tfjs_answers(order, tools, folders, ties)
    for name, link in folders.items():
        if found := read_tfjs(link, order.most):
            measured.answers[name], measured.ms[name] = found
