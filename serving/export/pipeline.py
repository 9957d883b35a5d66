"""The export pipeline: each converter and each runtime in a process of its own, in parallel where that helps.

The TensorFlow world imports its libraries while torch writes the network; the ONNX variants are derived and measured while
TensorFlow converts; Node decodes the images meanwhile, and runs each TF.js variant while the next one is being written. So does
LiteRT's runtime with LiteRT's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from threading import Event

import numpy as np

from registry.errors import InputError, ModelyardError
from serving.bundle.preprocess import stack_pixels
from serving.bundle.variants import KNOWN, VariantSpec
from serving.export.card import licence_of
from serving.export.litert import LitertAnswers
from serving.export.reference import keras_job, read_answers
from serving.export.request import ExportRequest, Measured, Tools
from serving.export.runtimes import ask_onnx, other_answers, read_tfjs, tfjs_answers
from serving.export.subprocess_job import Ties, run_subprocess

TF_CONVERT = Path(__file__).with_name("tf_convert.py")

Say = Callable[[str], None]


class ExportPipeline:
    """The subprocesses of one export, and the events between them."""

    def __init__(self, request: ExportRequest, work: Path, scratch: Path, tools: Tools, say: Say) -> None:
        self.request, self.work, self.scratch, self.tools, self.say = request, work, scratch, tools, say
        self.info = request.reference.info
        self.core, self.tf_core, self.trained = (scratch / name for name in ("core.onnx", "tf.onnx", "trained.npz"))
        self.stop, self.has_core, self.has_answers = Event(), Event(), Event()
        self.tf_feed: SimpleQueue[str | None] = SimpleQueue()
        self.node_feed: SimpleQueue[str | None] = SimpleQueue()
        self.litert_feed: SimpleQueue[str | None] = SimpleQueue()
        self.tfjs = {spec.variant.name: work / spec.variant.path for spec in request.of("tfjs")}
        self.litert = {spec.variant.name: work / spec.variant.path for spec in request.of("litert")}
        self.tensorflow: Future[None] | None = None
        self.measured = Measured(trained=np.zeros((0, 0), np.float32))

    def run(self) -> Measured:
        """Export and measure everything; the first required failure ends the rest."""
        with ThreadPoolExecutor(8, thread_name_prefix="export") as pool:
            tasks: dict[Future[None], list[VariantSpec]] = {pool.submit(self._onnx): self.request.of("onnx", "transformersjs")}
            if self.tfjs or self.litert or self.info.framework == "keras":
                self.tensorflow = pool.submit(self._tensorflow)
                tasks[self.tensorflow] = self.request.of("tfjs", "litert")
            if self.tfjs:
                tasks[pool.submit(self._node)] = self.request.of("tfjs")
            if self.litert:
                tasks[pool.submit(self._litert_runtime)] = self.request.of("litert")
            for spec in self.request.of("other"):
                tasks[pool.submit(self._other, spec)] = [spec]
            try:
                self._collect(tasks)
            finally:
                self._release()
        return self.measured

    def _collect(self, tasks: dict[Future[None], list[VariantSpec]]) -> None:
        """Wait; record a failure whose variants are all optional, raise any other."""
        open_tasks = set(tasks)
        while open_tasks:
            done, open_tasks = wait(open_tasks, return_when="FIRST_COMPLETED")
            for task in done:
                error = task.exception()
                if error is None:
                    continue
                optional = tasks[task] and not any(spec.required for spec in tasks[task])
                if not optional or task is self._lost() or not isinstance(error, ModelyardError):
                    raise error
                self.measured.failed = {spec.variant.name: str(error) for spec in tasks[task]} | self.measured.failed

    def _lost(self) -> Future[None] | None:
        """The task without which nothing else can be measured: TensorFlow's, until a Keras model has answered."""
        return self.tensorflow if self.info.framework == "keras" and not self.has_answers.is_set() else None

    def _release(self) -> None:
        """Release every task that still waits."""
        self.stop.set()
        for event in (self.has_core, self.has_answers):
            event.set()
        for feed in (self.tf_feed, self.node_feed, self.litert_feed):
            feed.put(None)

    def _onnx(self) -> None:
        """Torch writes the network and answers; every ONNX variant is derived, and asked."""
        ours = self.info.framework != "keras"
        if not ours:
            self._wait(self.has_core)
        wanted = self.request.of("onnx", "transformersjs")
        job: dict[str, object] = {
            "info": self.info.plain(),
            "core": str(self.core),
            "program": str(self.request.reference.program) if ours else None,
            "tensorflow": str(self.tf_core),
            "runtimes": [name for name, files in (("tfjs", self.tfjs), ("litert", self.litert)) if ours and files],
            "variants": [{"name": spec.variant.name, "path": str(self.work / spec.variant.path)} for spec in wanted],
            "provenance": _provenance(self.request),
            "calibration": [str(image.absolute()) for image in self.request.calibration],
            "images": [str(image.absolute()) for image in self.request.images],
            "answers": str(self.trained) if ours else None,
        }
        self.say("ONNX: exporting the trained program" if ours else "ONNX: from Keras")
        command = [sys.executable, "-P", "-m", "serving.export.onnx_job"]
        run_subprocess(command, job, "ONNX", bounds=self.tools.bounds, ties=Ties(self._on_line, stop=self.stop))
        self._check_required(wanted)
        for spec in wanted:
            if spec.variant.name not in self.measured.failed:
                self._ask_onnx(spec)
        self._wait(self.has_answers)
        self.measured.trained = read_answers(self.trained)

    def _ask_onnx(self, spec: VariantSpec) -> None:
        name = spec.variant.name
        self.say(f"parity: {name} in ONNX Runtime")
        try:
            ask_onnx(self.measured, name, self.work / spec.variant.path, self.request, self.stop)
        except ModelyardError as error:
            if spec.required:
                raise
            self.measured.failed[name] = str(error)

    def _check_required(self, wanted: list[VariantSpec]) -> None:
        """Raise for the first required variant that failed."""
        for spec in wanted:
            if spec.required and (why := self.measured.failed.get(spec.variant.name)):
                raise InputError(spec.variant.name, why, "change the network, or leave it out of `export:`")

    def _tensorflow(self) -> None:
        """TensorFlow makes the TF.js and LiteRT variants; of a Keras model also the ONNX network and the trained answers."""
        job: dict[str, object] = {
            "tfjs": str((self.work / "tfjs").absolute()),
            "variants": [spec.variant.precision for spec in self.request.of("tfjs")],
            "litert": self._litert_job() if self.litert else None,
        }
        if self.info.framework != "keras":
            job["onnx"] = str(self.tf_core)
        else:
            job = keras_job(self.request.reference, self.request.images, self.trained, self.scratch) | job
            job["onnx_out"] = str(self.core)
        ties = Ties(self._on_line, self.tf_feed, self.stop, waits=self.info.framework != "keras")
        command = [self.tools.tf_python, "-I", TF_CONVERT]
        try:
            run_subprocess(command, job, "TensorFlow's converters", bounds=self.tools.bounds, ties=ties)
        finally:
            for feed in (self.node_feed, self.litert_feed):
                feed.put(None)
            if not self.stop.is_set():  # a variant's own error says more than the exit code
                self._check_required(self.request.of("tfjs", "litert"))

    def _litert_job(self) -> dict[str, object]:
        """LiteRT's part of TensorFlow's job, with the calibration images where 8-bit integers are wanted."""
        precisions = {KNOWN[name].precision: str(path.absolute()) for name, path in self.litert.items()}
        calibration = self.scratch / "calibration.npy"
        if "int8" in precisions and self.request.calibration:
            np.save(calibration, stack_pixels(self.info.preprocess, self.request.calibration))
        return {
            "files": precisions,
            "size": self.info.preprocess.size,
            "output": "raw" if self.info.task == "detect" else "probabilities",
            "calibration": str(calibration) if calibration.exists() else None,
        }

    def _node(self) -> None:
        """TF.js answers as its variants are written."""
        try:
            tfjs_answers(self.request, self.tools, self.tfjs, Ties(feed=self.node_feed, stop=self.stop, waits=True))
        finally:  # answers from before a crash are valid, and must be removed from the bundle
            for name, folder in self.tfjs.items():
                if answered := read_tfjs(folder, self.request.most):
                    self.measured.answers[name], self.measured.ms[name] = answered

    def _litert_runtime(self) -> None:
        """LiteRT answers as its variants are written."""
        runtime = LitertAnswers(self.request, self.tools, self.scratch)
        try:
            runtime.run(Ties(feed=self.litert_feed, stop=self.stop, waits=True))
        finally:  # answers from before a crash are valid, and must be removed from the bundle
            for name, file in self.litert.items():
                if answered := runtime.read(file):
                    self.measured.answers[name], self.measured.ms[name] = answered
                elif why := runtime.why_not(file):
                    self.measured.failed[name] = why
        self._check_required(self.request.of("litert"))

    def _other(self, spec: VariantSpec) -> None:
        """Another package's exporter, once the network is there."""
        self._wait(self.has_core)
        self.say(f"{spec.variant.name}: its own exporter")
        places = (self.core, self.work / spec.variant.path)
        self.measured.answers[spec.variant.name] = other_answers(
            self.request, self.tools, spec.variant.name, places, self.scratch, Ties(stop=self.stop)
        )

    def _on_line(self, line: str) -> None:
        """Handle a progress line of a subprocess."""
        what, _, name = line.partition(" ")
        if what == "core":
            self.has_core.set()
            self.tf_feed.put(name or None)
        elif what == "answers":
            self.has_answers.set()
        elif what == "failed":
            which, _, why = name.partition(" ")
            runtimes = {"tfjs": self.tfjs, "litert": self.litert}
            names = list(runtimes.get(which, {})) or [which if which in KNOWN else f"tfjs-{which}"]
            self.measured.failed |= dict.fromkeys(names, why)
        elif what == "note":
            self.say(name)
        elif what == "made":
            variant = name if name in KNOWN else f"tfjs-{name}"
            self.say(f"made {variant}")
            if variant in self.tfjs:
                self.node_feed.put(str(self.tfjs[variant]))
            if variant in self.litert:
                self.litert_feed.put(str(self.litert[variant]))

    def _wait(self, event: Event) -> None:
        """Wait for another subprocess's output; raise if that one failed."""
        event.wait()
        if self.stop.is_set():
            raise ModelyardError("export", "was stopped, because something beside it failed", "see the other line")


def _provenance(request: ExportRequest) -> dict[str, str]:
    """The metadata of each ONNX file. It names digests and not a version, so the same bytes give the same file."""
    info = request.reference.info
    return {
        "modelyard.model_sha256": request.facts.digest,
        "modelyard.dataset_sha256": info.dataset,
        "modelyard.trainer": f"{info.trainer} {info.arch}",
        "modelyard.task": info.task,
        "modelyard.labels": json.dumps(info.labels, ensure_ascii=False),
        "modelyard.preprocess": json.dumps(asdict(info.preprocess)),
        "license": licence_of(info),
    }
