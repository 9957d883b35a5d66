"""What the export benchmarks share: models like the demo's, and an order to export them.

    python bench/exporting.py [MODELS]     the measured table of docs/exports.md, as Markdown on standard output

MODELS is a folder of trained model folders to use again; what is not there is trained, which takes some minutes.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "journey")]

from detector import draw_shapes, train_detector

from pipelines.bundles.tools import find_node
from pipelines.data.build import build_dataset
from pipelines.data.dataset import DataSet
from pipelines.data.samples import for_calibration, held_out
from pipelines.demo.clips import Film, film_digits
from pipelines.job.jobfile import Data
from pipelines.job.trainers import KerasTrainer, TorchTrainer, TrainerConfig, YoloTrainer
from pipelines.training.trainers.build import build_trainer
from pipelines.training.trainers.contract import Watch
from registry.settings import Settings
from serving.bundle.modelinfo import read_info
from serving.bundle.variants import KNOWN, variant_spec
from serving.export.build import build_bundle
from serving.export.card import Facts
from serving.export.hard_images import make_hard_images
from serving.export.measure import measure_bundle
from serving.export.reference import Reference
from serving.export.request import ExportRequest, Tools
from serving.export.subprocess_job import Bounds, Ties, run_subprocess

TRAINERS: dict[str, TrainerConfig] = {
    "yolo": YoloTrainer(epochs=8),
    "torch": TorchTrainer(epochs=8),
    "reduced": TorchTrainer(epochs=8, decode="reduced"),
    "keras": KerasTrainer(epochs=8),
    "mobilenet": TorchTrainer(arch="mobilenet_v3_small", epochs=14, lr0=0.003),
}
FULL = ("onnx", "tfjs-float32", "tfjs-float16", "tfjs-uint8")


def quiet(*_: object) -> None:
    """Say nothing."""


def digits(folder: Path) -> DataSet:
    """The demo's data set."""
    clips = film_digits(folder / "clips", Film(), quiet)
    return build_dataset(Data(clips=clips), folder / "dataset", quiet)


def trained(name: str, data: DataSet, folder: Path) -> Path:
    """A model's folder; one that is there is used again."""
    target = folder / name
    if not target.exists():
        with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as work:
            fitted = build_trainer(TRAINERS[name], Settings(home=folder).tf_python).fit(data, Path(work), Watch())
            shutil.copytree(fitted.folder, target)
    return target


def detector(folder: Path) -> Path:
    """A detector's folder."""
    from pipelines.training.trainers.checkpoint import describe, open_checkpoint, package_checkpoint

    target = folder / "detector"
    if not target.exists():
        with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as work:
            best = train_detector(Path(work) / "training")
            model = open_checkpoint(best, Path(work))
            package_checkpoint(model, target, describe(model, "yolov8n", None, "0" * 64))
    return target


def tools() -> Tools:
    """The interpreters of this checkout."""
    settings = Settings()
    return Tools(settings.tf_python, find_node(), settings.node_modules, Bounds(600, 8))


def order_of(model: Path, images: list[Path], calibration: list[Path], names: tuple[str, ...]) -> ExportRequest:
    """Export these variants."""
    reference = Reference(model, read_info(model, model.name), Settings().tf_python)
    facts = Facts("bench/1", "0" * 64, None, None)
    return ExportRequest(reference, facts, [variant_spec(name, required=name == "onnx") for name in names], images, calibration)


def timed(order: ExportRequest, folder: Path) -> float:
    """Seconds of a whole export: converters, parity, latency, bundle."""
    began = time.perf_counter()
    build_bundle(order, folder, tools(), quiet)
    return time.perf_counter() - began


def converters_alone(order: ExportRequest, folder: Path) -> float:
    """Seconds of the converters one after the other, and nothing else: torch's ONNX exporter, onnx2tf, tensorflowjs."""
    folder.mkdir()
    job: dict[str, Any] = {
        "info": order.reference.info.plain(),
        "core": str(folder / "core.onnx"),
        "program": str(order.reference.program),
        "tensorflow": str(folder / "tf.onnx"),
        "runtimes": ["tfjs"],
        "variants": [],
        "calibration": [],
    }
    began = time.perf_counter()
    run_subprocess([sys.executable, "-P", "-m", "serving.export.onnx_job"], job, "ONNX")
    feed: SimpleQueue[str | None] = SimpleQueue()
    feed.put("tfjs")
    payload = {"onnx": str(folder / "tf.onnx"), "tfjs": str(folder / "tfjs")}
    payload["variants"] = [entry.variant.precision for entry in order.of("tfjs")]
    run_subprocess(
        [tools().tf_python, "-I", ROOT / "serving/export/tf_convert.py"], payload, "TensorFlow", ties=Ties(feed=feed)
    )
    return time.perf_counter() - began


def table(models: Path, say: Callable[[str], None]) -> str:
    """Trainer and variant → size, difference, agreement, and milliseconds from image bytes in each runtime."""
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as scratch:
        root = Path(scratch)
        data = digits(root)
        lines = [
            "| model | variant | MB | max diff | agreement | mAP diff | native | Node | Chromium |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        chosen = data.files(held_out(data, 200))
        (root / "awkward").mkdir()
        images = chosen + make_hard_images(chosen[:14], root / "awkward")
        calibration = data.files(for_calibration(data, 100))
        for name in TRAINERS:
            say(name)
            order = order_of(trained(name, data, models), images, calibration, (*KNOWN, "openvino"))
            lines += _rows(name, order, root / "bundles" / name)
        say("detector")
        shapes = draw_shapes(root / "shapes", 60, 5)
        names = tuple(name for name in KNOWN if not name.startswith("transformersjs"))
        order = order_of(detector(models), shapes, draw_shapes(root / "more", 60, 6), names)
        return "\n".join([*lines, *_rows("detector", order, root / "bundles" / "detector")])


def _rows(name: str, order: ExportRequest, folder: Path) -> list[str]:
    built = build_bundle(order, folder, tools(), quiet)
    kept = [entry.variant.name for entry in order.wanted if entry.variant.name in built.bundle.variants]
    again = order_of(order.reference.folder, list(order.images), [], tuple(kept))
    ms, chromium = measure_bundle(again, built.bundle, tools(), quiet).ms, _in_chromium(built.bundle, order)
    lines: list[str] = []
    for entry in built.parity:
        path = built.bundle.variants.get(entry.variant)
        files = [path] if path and path.is_file() else list(path.rglob("*")) if path else []
        size = f"{sum(file.stat().st_size for file in files) / 1e6:.2f}" if files else "left out"
        spent = f"{ms[entry.variant]:.1f}" if entry.variant in ms else ""
        native, node = ("", spent) if entry.variant.startswith("tfjs") else (spent, "")
        loss = "" if entry.map_difference is None else f"{entry.map_difference:.1e}"
        figures = [f"{entry.max_abs_diff:.1e}", f"{entry.top1_agreement:.3f}", loss] if entry.made else ["", "", ""]
        cells = [
            name,
            entry.variant,
            size if entry.made else "not made",
            *figures,
            native,
            node,
            chromium.get(entry.variant, ""),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _in_chromium(bundle: Any, order: ExportRequest) -> dict[str, str]:
    """Median milliseconds in a headless browser, over 60 of the images."""
    from pages import parity_page, run_in_page

    info, milliseconds = order.reference.info, dict[str, str]()
    head = {"strides": info.strides, "classes": len(info.labels), "rule": info.suppression.plain()}
    dtypes = {"transformersjs": "fp32", "transformersjs-float16": "fp16", "transformersjs-int8": "int8"}
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as scratch:
        names: list[str] = []
        for index, image in enumerate(order.images[:60]):
            names.append(f"{index:03d}{image.suffix}")
            shutil.copy2(image, Path(scratch) / names[-1])
        with parity_page(bundle.folder, Path(scratch)) as page:
            for name, path in bundle.variants.items():
                where = path.relative_to(bundle.folder).as_posix()
                if name.startswith("tfjs"):
                    result = run_in_page(
                        page, "tfjs", where, names, info.preprocess.size, head if info.task == "detect" else None
                    )
                elif name in dtypes:
                    result = run_in_page(page, "transformers", names, info.labels, dtypes[name])
                elif name.startswith("litert"):
                    result = run_in_page(page, "engine", "litert-wasm", name, names, module="engines_page.mjs")
                elif name.startswith("onnx") and name != "onnx-tensor":
                    result = run_in_page(page, "ortweb", where, names)
                else:
                    continue
                milliseconds[name] = f"{result['ms']:.1f}"
    return milliseconds


if __name__ == "__main__":
    kept_models = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="modelyard-bench-"))
    print(table(kept_models, lambda text: print(text, file=sys.stderr)))
