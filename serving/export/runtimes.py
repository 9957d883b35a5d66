"""Each variant's answers, from image files' bytes, in the runtime that its users have."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from registry.errors import InputError, ModelyardError
from serving.bundle.modelinfo import ModelInfo
from serving.bundle.variants import MAIN
from serving.export.parity import pack
from serving.export.reference import Answers, read_answers
from serving.export.request import ExportRequest, Measured, Tools
from serving.export.subprocess_job import Ties, run_subprocess
from serving.inference.runner import Runner

_TFJS_RUN = Path(__file__).with_name("tfjs_run.mjs")


def ask_onnx(measured: Measured, name: str, model: Path, request: ExportRequest, stop: Event | None = None) -> None:
    """Record a variant's answers; for the served variant also those of the serving code, which resizes before the graph."""
    info = request.reference.info
    measured.answers[name], measured.ms[name] = onnx_answers(model, info, request.images, stop)
    if name == MAIN.name and info.task == "classify":
        measured.served[name], measured.ms[name] = onnx_answers(model, info, request.images, stop, fitted=True)


def onnx_answers(
    model: Path, info: ModelInfo, images: Sequence[Path], stop: Event | None = None, *, fitted: bool = False
) -> tuple[Answers, float]:
    """Answers, and the median milliseconds per image; ends early when `stop` is set."""
    runner, spans, rows = Runner(model, info.preprocess, fitted=fitted), list[float](), list[Answers]()
    for image in images:
        if stop and stop.is_set():
            raise ModelyardError("ONNX Runtime", "was stopped, because something beside it failed", "see the other line")
        data = image.read_bytes()
        began = time.perf_counter()
        rows.append(runner.answers([data], str(image)))
        spans.append((time.perf_counter() - began) * 1e3)
    return np.concatenate(rows), float(np.median(spans))


def tfjs_answers(request: ExportRequest, tools: Tools, folders: dict[str, Path], ties: Ties) -> None:
    """Run TF.js in Node on the models whose folders come through `ties.feed`, and leave their answers beside them."""
    info = request.reference.info
    head = {"strides": info.strides, "classes": len(info.labels), "rule": info.suppression.plain()}
    job: dict[str, Any] = {
        "modules": str(tools.node_modules.absolute()),
        "lib": str(tools.browser.absolute()),
        "preprocess": asdict(info.preprocess),
        "images": [str(image.absolute()) for image in request.images],
        "head": head if info.task == "detect" else None,
    }
    run_subprocess([tools.node, _TFJS_RUN], job, f"TF.js ({', '.join(folders)})", bounds=tools.bounds, ties=ties)


def read_tfjs(folder: Path, most: int | None) -> tuple[Answers, float] | None:
    """The answers that Node wrote beside a model's folder, if any; the file is removed, since it is not part of a bundle."""
    left = folder.with_name(f"{folder.name}.answers.json")
    if not left.exists():
        return None
    text = left.read_text()
    left.unlink()
    try:
        answer = json.loads(text)
    except ValueError:  # Node was killed while it wrote
        return None
    return pack(answer["answers"], most), float(answer["ms"])


def other_answers(
    request: ExportRequest, tools: Tools, kind: str, places: tuple[Path | None, Path], scratch: Path, ties: Ties | None = None
) -> Answers:
    """Another package's exporter: `places` are the network's ONNX, or None where it was exported before, and its folder."""
    core, folder = places
    answers = scratch / f"{kind}.npz"
    job = {
        "kind": kind,
        "core": str(core) if core else None,
        "folder": str(folder.absolute()),
        "info": request.reference.info.plain(),
        "images": [str(image.absolute()) for image in request.images],
        "answers": str(answers),
    }
    command = [sys.executable, "-P", "-m", "serving.export.plugins"]
    run_subprocess(command, job, f"exporter '{kind}'", bounds=tools.bounds, ties=ties)
    probabilities, shape = read_answers(answers), (len(request.images), len(request.reference.info.labels))
    if probabilities.shape != shape:
        raise InputError(
            f"exporter '{kind}'", f"answered {probabilities.shape} where {shape} was asked for", "fix the exporter"
        )
    return probabilities


Say = Callable[[str], None]
