"""Networks beyond the demo's: a detector, torchvision's, and those that cannot be exported and say why."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from detector import NAMES, draw_shapes, train_detector
from exporting import ROOT, about, build, tools
from pages import parity_page, run_in_page
from untrained import sharpened

from registry.errors import InputError, IntegrityError
from registry.mlflow.package import package_torch
from serving.bundle.modelinfo import write_info
from serving.export.subprocess_job import Ties, run_subprocess

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Sixty pictures of shapes."""
    return draw_shapes(tmp_path_factory.mktemp("shapes") / "all", 60, 5)


def test_a_network_of_torchvision_runs_in_tfjs(images: list[Path], tmp_path: Path) -> None:
    """mobilenet_v3's hard-swish has no kernel in TF.js; it is decomposed on the way."""
    from torchvision.models import get_model

    from serving.bundle.preprocess import stack_pixels

    torch.manual_seed(0)
    info, folder = about(), tmp_path / "model"
    pixels = info.preprocess.tensor(stack_pixels(info.preprocess, images))
    package_torch(sharpened(get_model("mobilenet_v3_small", num_classes=4), torch.from_numpy(pixels)), folder, 64, [(-1, 4)])
    write_info(folder, info)
    built = build(folder, info, images, "onnx", "tfjs-float32")
    for figures in built.parity:
        assert figures.kept, figures
        assert figures.variant == "onnx" or figures.max_abs_diff < 1e-4
        assert figures.control_agreement < 0.3
    folder = built.bundle.variants["tfjs-float32"]
    document = json.loads((folder / "model.json").read_text())
    (given,) = document["signature"]["inputs"].values()
    assert given["tensorShape"]["dim"][0]["size"] == "-1", "any number of images where onnx2tf converts it"
    assert not [node["op"] for node in document["modelTopology"]["node"] if "Swish" in node["op"]]
    shards = [folder / name for group in document["weightsManifest"] for name in group["paths"]]
    assert [shard.stat().st_size for shard in shards[:-1]] == [4 * 1024 * 1024] * (len(shards) - 1)
    assert len(shards) == 2


class Curved(nn.Module):
    """Has operators that TFLite lacks and TF.js does not."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (torch.erf(torch.asinh(images * 4)).mean((2, 3)) * 20).softmax(1)


def test_what_tflite_lacks_runs_in_tfjs_and_int8_without_training_images_is_left_out(
    images: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    package_torch(Curved(), folder, 64, [(-1, 3)])
    built = build(folder, about(labels=3), images, "onnx", "tfjs-float32", "onnx-int8?", calibration=0)
    by_variant = {figures.variant: figures for figures in built.parity}
    assert by_variant["tfjs-float32"].kept, by_variant["tfjs-float32"]
    assert by_variant["tfjs-float32"].max_abs_diff < 1e-4
    assert by_variant["onnx-int8"].note == "there are no training images to calibrate it with"
    assert set(built.bundle.variants) == {"onnx", "tfjs-float32"}


class Fork(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        means = images.mean((2, 3))
        return torch.cond(images.sum() > 0, lambda values: values.softmax(1), lambda values: (-values).softmax(1), (means,))


def test_a_network_with_control_flow_is_refused_for_tfjs_with_that_reason(images: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    package_torch(Fork(), folder, 64, [(-1, 3)])
    with pytest.raises(
        InputError, match=r"^tfjs-float32: has control flow \(If\), which TF\.js cannot run; change the network"
    ):
        build(folder, about(labels=3), images, "onnx", "tfjs-float32")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_the_converter_trips_over_is_named(tmp_path: Path) -> None:
    """Not every operator that fails is known before: then it is the one whose file the converter was in."""
    import onnx

    model = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 18]>
        g (float[batch,3,16,16] tensor) => (float[batch,16,16] probabilities) {
          nothing = Constant<value = float {0.5}>()
          found = Mean(tensor, nothing)
          probabilities = ReduceMean<keepdims=0>(found)
        }""")
    onnx.save(model, tmp_path / "m.onnx")
    lines = list[str]()
    ties = Ties(lines.append)
    ties.feed.put("tfjs")
    job = {"onnx": str(tmp_path / "m.onnx"), "tfjs": str(tmp_path / "tfjs"), "variants": ["float32"]}
    run_subprocess([tools().tf_python, "-I", ROOT / "serving/export/tf_convert.py"], job, "TensorFlow", ties=ties)
    assert len(lines) == 1
    assert lines[0].startswith("failed tfjs onnx2tf cannot convert Mean (")


class Eigen(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        eigenvalues = torch.linalg.eigvalsh(images[:, 0, :4, :4] @ images[:, 0, :4, :4].transpose(1, 2))
        return eigenvalues.softmax(1)


def test_an_operation_that_no_exporter_knows_is_named(images: list[Path], tmp_path: Path) -> None:
    info, folder = about(), tmp_path / "model"
    package_torch(Eigen(), folder, 64, [(-1, 4)])
    with pytest.raises(InputError, match=r"cannot be exported to ONNX.*eigh"):
        build(folder, info, images, "onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


class Moody(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        means = images.mean((2, 3))
        return means.softmax(1) if images.sum().item() > 0 else (-means).softmax(1)


def test_a_way_that_depends_on_the_picture_is_refused_before_it_is_registered(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written as a program"):
        package_torch(Moody(), tmp_path / "model", 64, [(-1, 3)])


def test_classes_that_do_not_fit_the_head_are_refused(images: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    package_torch(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 3), nn.Softmax(1)), folder, 64, [(-1, 3)])
    with pytest.raises(InputError, match="has 3 outputs for 4 classes"):
        build(folder, about(labels=4), images, "onnx")


def test_a_program_of_another_version_is_refused(images: list[Path], tmp_path: Path) -> None:
    import zipfile

    folder = tmp_path / "model"
    package_torch(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 4), nn.Softmax(1)), folder, 64, [(-1, 4)])
    program, newer = folder / "data" / "model.pt2", tmp_path / "newer.pt2"
    with zipfile.ZipFile(program) as old, zipfile.ZipFile(newer, "w") as new:
        for item in old.namelist():
            data = old.read(item)
            if item.endswith("models/model.json"):
                document = json.loads(data)
                document["schema_version"]["major"] += 90
                data = json.dumps(document).encode()
            new.writestr(item, data)
    shutil.move(newer, program)
    with pytest.raises((InputError, IntegrityError), match=r"torch 2\.14\.1.* cannot load it"):
        build(folder, about(), images, "onnx")


@pytest.mark.long
def test_a_detector_is_registered_and_exported_with_its_boxes(
    tmp_path: Path, up, modelyard: Callable, images: list[Path]
) -> None:
    """From Ultralytics' checkpoint to ONNX with NMS in the graph and TF.js with ours, in Node and in Chromium."""
    best = train_detector(tmp_path / "training")
    photos = tmp_path / "photos" / "shapes"
    photos.mkdir(parents=True)
    for path in [*images, *draw_shapes(tmp_path / "more", 60, 6)]:
        shutil.copy2(path, photos / f"{path.parent.parent.name}{path.name}")
    job = tmp_path / "modelyard.yaml"
    job.write_text(
        "model: shapes\ntask: detect\ndata: {images: photos}\n"
        "export: [{kind: onnx}, {kind: onnx, quantize: int8, required: false}, {kind: onnx, input: tensor}, {kind: tfjs}]\n"
        "gates: {staging: [{kind: parity, images: 20}, {kind: card}]}\n"
    )
    home = tmp_path / "home"
    assert modelyard("frames", "--home", home).returncode == 0
    with up(home, "--no-dashboard"):
        (stranger := tmp_path / "stranger.pt").write_text("no checkpoint")
        for path, reason in ((job, "is none of the files that can be registered"), (stranger, "Ultralytics cannot read it")):
            refused = modelyard("register", path, "--home", home)
            assert refused.returncode == 2
            assert reason in refused.stderr.strip().splitlines()[-1]
        done = modelyard("register", best, "--home", home)
        assert done.returncode == 0, done.stderr
        done = modelyard("export", "shapes/1", "--to", tmp_path / "bundle", "--home", home, "--json")
        assert done.returncode == 0, done.stderr
        figures = {entry["variant"]: entry for entry in json.loads(done.stdout)["parity"]}
        for name in ("onnx", "onnx-tensor", "tfjs-float16"):
            assert figures[name]["kept"], figures[name]
            assert figures[name]["map_difference"] < 0.01
            assert figures[name]["control_agreement"] < 0.2
        answer = modelyard("predict", "shapes/1", min(photos.iterdir()), "--home", home, "--json")
        assert answer.returncode == 0, answer.stderr
        boxes = json.loads(answer.stdout)[0]["boxes"]
        assert all(box["label"] in NAMES and 0 <= box["box"][0] < box["box"][2] for box in boxes)
        judged = modelyard("gates", "shapes/1", "staging", "--home", home)
        assert judged.returncode == 0, judged.stdout
    _detector_in_a_browser(tmp_path / "bundle", images[:30])


def _detector_in_a_browser(folder: Path, images: list[Path]) -> None:
    from serving.bundle.bundle import open_bundle
    from serving.export.parity import compare, pack
    from serving.inference.runner import Runner

    bundle, names = open_bundle(folder), [path.name for path in images]
    trained = Runner(bundle.variants["onnx-tensor"], bundle.preprocess).answers([path.read_bytes() for path in images])
    head = {"strides": [8, 16, 32], "classes": len(bundle.labels), "rule": {"score": 0.25, "iou": 0.7, "most": 300}}
    with parity_page(folder, images[0].parent) as page:
        results = {"tfjs": run_in_page(page, "tfjs", "tfjs/float16", names, bundle.preprocess.size, head)}
        results["onnx"] = run_in_page(page, "ortweb", "model.onnx", names)
    for name, result in results.items():
        figures = compare(name, trained, pack(result["answers"], 300))
        assert figures.top1_agreement > 0.97, figures
        assert figures.map_difference < 0.02
        assert figures.control_agreement < 0.2
        assert np.isfinite(figures.max_abs_diff)
