"""The browser package in Node and in Chromium: each engine on each variant answers as the trained model, on 200 images."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from detector import draw_shapes
from exporting import ROOT, about, build, check_answers, small_network, tools
from pages import parity_page, run_in_page
from untrained import sharpened

from registry.mlflow.package import package_torch
from serving.bundle.modelinfo import write_info
from serving.bundle.preprocess import Preprocess, stack_pixels
from serving.export.request import Built

pytestmark = [pytest.mark.journey, pytest.mark.long]

ONNX = ("onnx-tensor", "onnx", "onnx-float16", "onnx-int8")
TFJS = ("tfjs-float32", "tfjs-float16", "tfjs-uint8")
LITERT = ("litert-float32", "litert-float16", "litert-int8")
TF_PACKAGES = sorted((ROOT / ".venv-tf").glob("lib/python3*/site-packages"))
LETTERBOX = {"resize": "longest side, bilinear", "crop": "none, padded with grey 114"}
RUNS = [("onnx-wasm", name) for name in ONNX] + [("tfjs-wasm", name) for name in TFJS]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Built, list[Path]]:
    """A small network with every variant, and 200 images it was not fitted to."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("engines")
    fitted, held_out = draw_shapes(folder / "fitted", 40, 5), draw_shapes(folder / "held-out", 200, 6)
    info, model = about(), folder / "model"
    pixels = info.preprocess.tensor(stack_pixels(info.preprocess, fitted))
    package_torch(sharpened(small_network(), torch.from_numpy(pixels)), model, 64, [(-1, 4)])
    write_info(model, info)
    return build(model, info, held_out, "onnx", *(f"{name}?" for name in (*ONNX[:1], *ONNX[2:], *TFJS, *LITERT))), held_out


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> tuple[Built, list[Path]]:
    """The permissive detector, untrained, its last layers set so that it says something else of each image.

    The images are as large as the network's input. Untrained, it is moved by each grey level in which resizes differ.
    """
    from pipelines.training.trainers.torch_detect_network import SMALL, STRIDES, build_detector

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("detector")
    fitted, held_out = (
        draw_shapes(folder / name, count, seed, (96, 72)) for name, count, seed in (("fitted", 40, 5), ("held-out", 200, 6))
    )
    info, model = (
        about(96, 3).changed(task="detect", preprocess=Preprocess(size=96, **LETTERBOX), strides=STRIDES),
        folder / "model",
    )
    network = build_detector(SMALL, 3, 96)
    _spread(network, torch.from_numpy(info.preprocess.tensor(stack_pixels(info.preprocess, fitted))))
    package_torch(network, model, 96, [(-1, 4 + 3, network.centres.shape[0])] * 2)
    write_info(model, info)
    return build(model, info, held_out, "onnx", "onnx-tensor", "tfjs-float32", "tfjs-float16?", "litert-float32"), held_out


def _spread(network: nn.Module, images: torch.Tensor) -> None:
    """Scores that vary between cells and images, most of them below the threshold."""
    network.train()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # plain averages, so that two looks are enough
    with torch.no_grad():
        for _ in range(2):
            network(images)
        scores = network.eval()(images)[1][:, 4:]
        for head in network.heads:
            last, gain = head.kinds[-1], 2 / scores.std((0, 2))
            last.weight.mul_(gain[:, None, None, None])
            last.bias.sub_(scores.mean((0, 2))).mul_(gain).sub_(5)


def run_engines(
    built: Built, images: list[Path], runs: list[tuple[str, str]], out: Path, *, offline: bool = False
) -> list[dict]:
    """Node's answers of each engine and variant; `offline`: what fetches anything fails."""
    job = {
        "lib": str(tools().browser.absolute()),
        "modules": str(tools().node_modules.absolute()),
        "bundle": str(built.bundle.folder.absolute()),
        "images": [str(image.absolute()) for image in images],
        "runs": runs,
        "out": str(out / "answers.json"),
        "offline": offline,
    }
    (out / "job.json").write_text(json.dumps(job))
    script = Path(__file__).with_name("engines_run.mjs")
    done = subprocess.run([tools().node, script, out / "job.json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads((out / "answers.json").read_text())


def test_every_engine_answers_as_the_trained_model(exported: tuple[Built, list[Path]], tmp_path: Path) -> None:
    built, images = exported
    runs = [(engine, name) for engine, name in RUNS if name in built.bundle.variants]
    assert {"onnx", "onnx-tensor", "onnx-float16", "tfjs-float32", "tfjs-float16"} <= {name for _, name in runs}
    for (engine, name), result in zip(runs, run_engines(built, images, runs, tmp_path), strict=True):
        assert (result["info"]["engine"], result["info"]["variant"]) == (engine, name)
        assert result["info"]["digest"] == built.bundle.index.digest
        check_answers(name, built.measured.trained, result)


DETECTORS = [("onnx-wasm", "onnx-tensor"), ("onnx-wasm", "onnx"), ("tfjs-wasm", "tfjs-float32"), ("tfjs-wasm", "tfjs-float16")]


def test_every_engine_detects_as_the_trained_detector(detector: tuple[Built, list[Path]], tmp_path: Path) -> None:
    built, images = detector
    assert (built.bundle.folder / "detector.json").exists()
    trained = built.measured.trained
    assert 1 < (trained[..., 4] > 0).sum(1).mean() < 60, "some boxes, and not everywhere"
    runs = [(engine, name) for engine, name in DETECTORS if name in built.bundle.variants]
    assert {"onnx", "onnx-tensor", "tfjs-float32"} <= {name for _, name in runs}, built.parity
    for (engine, name), result in zip(runs, run_engines(built, images, runs, tmp_path), strict=True):
        assert (result["info"]["engine"], result["info"]["variant"]) == (engine, name)
        check_answers(name, trained, result)


def test_transformersjs_runs_the_bundles_onnx_and_fetches_nothing(
    exported: tuple[Built, list[Path]], detector: tuple[Built, list[Path]], tmp_path: Path
) -> None:
    """In a process of its own, since it brings ONNX Runtime's own library, and the other engines its WebAssembly."""
    for (built, images), names in ((exported, ONNX), (detector, ("onnx", "onnx-tensor"))):
        runs = [("transformers-cpu", name) for name in names if name in built.bundle.variants]
        assert {"onnx", "onnx-tensor"} <= {name for _, name in runs}
        for (engine, name), result in zip(runs, run_engines(built, images, runs, tmp_path, offline=True), strict=True):
            assert (result["info"]["engine"], result["info"]["variant"]) == (engine, name)
            check_answers(name, built.measured.trained, result)


@pytest.mark.skipif(not TF_PACKAGES, reason="the TensorFlow world is not installed here")
def test_the_example_for_small_boards_answers_as_the_trained_model(exported: tuple[Built, list[Path]], tmp_path: Path) -> None:
    """It runs here with LiteRT's runtime from the TensorFlow world, which has no Pillow."""
    built, images = exported
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in ("ai_edge_litert", "flatbuffers"):
        (packages / name).symlink_to(TF_PACKAGES[0] / name)
    (tmp_path / "hand-bundle").symlink_to(built.bundle.folder)
    example, *_ = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "phones.md").read_text(), re.DOTALL)
    (tmp_path / "example.py").write_text(example)
    labels, answers = set[str](), built.measured.trained
    for image, answer in zip(images[:5], answers[:5], strict=True):
        (tmp_path / "hand.jpg").unlink(missing_ok=True)
        (tmp_path / "hand.jpg").symlink_to(image)
        command = [sys.executable, "example.py"]
        environment = dict(os.environ, PYTHONPATH=str(packages), PYTHONWARNINGS="")
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        label, probability = done.stdout.split()
        assert label == built.bundle.labels[answer.argmax()]
        assert float(probability) == pytest.approx(answer.max(), abs=0.02)
        labels.add(label)
    assert len(labels) > 1, "the images are of several classes"


def run_in_chromium(built: Built, images: list[Path], runs: list[tuple[str, str]], *, webgpu: bool = False) -> list[dict]:
    """A page's answers of each engine and variant."""
    names = [path.name for path in images]
    with parity_page(built.bundle.folder, images[0].parent, webgpu=webgpu) as page:
        if webgpu and not page.evaluate("async () => Boolean(await navigator.gpu?.requestAdapter())"):
            pytest.skip("this Chromium has no WebGPU in software")
        return [run_in_page(page, "engine", *run, names, module="engines_page.mjs") for run in runs]


def test_litert_and_transformersjs_answer_in_a_page_as_the_trained_model(exported: tuple[Built, list[Path]]) -> None:
    built, images = exported
    runs = [("litert-wasm", name) for name in LITERT if name in built.bundle.variants]
    assert {"litert-float32", "litert-float16"} <= {name for _, name in runs}, built.parity
    runs.append(("transformers-cpu", "onnx-tensor"))
    for (engine, name), result in zip(runs, run_in_chromium(built, images, runs), strict=True):
        assert (result["info"]["engine"], result["info"]["variant"]) == (engine, name)
        check_answers(name, built.measured.trained, result)


def test_litert_answers_on_webgpu_as_the_trained_model(exported: tuple[Built, list[Path]]) -> None:
    built, images = exported
    (result,) = run_in_chromium(built, images[:60], [("litert-webgpu", "litert-float32")], webgpu=True)
    assert result["info"]["engine"] == "litert-webgpu"
    check_answers("litert-float32", built.measured.trained[:60], result)


def test_litert_detects_in_a_page_as_the_trained_detector(detector: tuple[Built, list[Path]]) -> None:
    built, images = detector
    (result,) = run_in_chromium(built, images[:60], [("litert-wasm", "litert-float32")])
    check_answers("litert-float32", built.measured.trained[:60], result)
