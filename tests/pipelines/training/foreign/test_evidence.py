"""A version that came from elsewhere gets the evidence that any version gets: exports that agree, from image files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from foreign_world import LABELS, TF_PYTHON, bring, onnx_network, program, torch_network
from test_hugging_face import save
from test_keras_files import save_keras

from pipelines.bundles.tools import find_tools
from pipelines.data.dataset import DataSet
from pipelines.training.foreign.bring import Brought
from pipelines.training.foreign.contract import Scores
from pipelines.training.foreign.options import KNOWN, Options
from registry.settings import Settings
from serving.bundle.variants import variant_spec
from serving.export.build import build_bundle
from serving.export.card import Facts
from serving.export.reference import Reference
from serving.export.request import ExportRequest
from serving.inference.standalone import StandalonePredictor

VARIANTS = ("onnx", "onnx-float16", "onnx-int8", "onnx-tensor", "transformersjs")


def taught(folder: Path, data: DataSet) -> Path:
    """A Hugging Face classifier whose last layer was fitted to the data set: its answers mean something."""
    import torch
    import transformers

    from serving.bundle.decode import decode

    save(folder, "convnext, a share of the shorter side")
    network = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    rows = data.rows("train")
    pictures = [decode(file.read_bytes(), "x") for file in data.files(rows)]
    with torch.no_grad():
        features = network.vit(processor(pictures, return_tensors="pt")["pixel_values"]).last_hidden_state[:, 0]
    wanted = torch.nn.functional.one_hot(torch.tensor(data.targets(rows)), len(LABELS)).float() * 8
    fitted = torch.linalg.lstsq(torch.cat([features, torch.ones(len(rows), 1)], 1), wanted, driver="gelsd").solution
    network.classifier.weight.data, network.classifier.bias.data = fitted[:-1].T.contiguous(), fitted[-1]
    network.save_pretrained(folder)
    return folder


def check_variants(brought: Brought, data: DataSet, folder: Path, variants: Sequence[str], *, tfjs: bool = False) -> None:
    """Export it, and see that each variant answers as it does, and that another picture's answer is another class."""
    files = list(data.files(data.rows("test")))
    reference = Reference(brought.folder, brought.info, TF_PYTHON)
    facts, specs = Facts("mine/1", "0" * 64, None, None), [variant_spec(name) for name in variants]
    request = ExportRequest(reference, facts, specs, files, list(data.files(data.rows("train"))))
    built = build_bundle(request, folder, find_tools(Settings(), tfjs=tfjs), lambda _: None)
    figures = {row.variant: row for row in built.parity}
    assert set(figures) == set(variants)
    for row in figures.values():
        assert row.kept, row
        assert row.top1_agreement == 1.0
        assert row.control_agreement < 1.0, "the control"


@pytest.mark.journey  # TensorFlow converts
@pytest.mark.parametrize(
    "kind",
    [
        "torch program",
        "keras",
        *(pytest.param(kind, marks=pytest.mark.soak) for kind in ("onnx of another layout", "hugging face")),
    ],
)
def test_it_runs_in_tfjs_as_it_was_made(kind: str, painted: DataSet, tmp_path: Path) -> None:
    labels = tuple(LABELS)
    if kind == "keras":
        path, labels = save_keras(tmp_path), labels[::-1]
    elif kind == "torch program":
        path = program(tmp_path / "theirs.pt2", torch_network(KNOWN["imagenet"]), batch=1)
    elif kind == "hugging face":
        pytest.importorskip("transformers")
        path = taught(tmp_path / "theirs", painted)
    else:
        path = onnx_network(tmp_path / "theirs.onnx", KNOWN["imagenet"], layout="nhwc", batch=1)
    brought = bring(path, painted, tmp_path / "work", Options(labels=labels))
    check_variants(brought, painted, tmp_path / "bundle", ("onnx", "tfjs-float32"), tfjs=True)


@pytest.mark.parametrize("kind", ["onnx", "hugging face"])
def test_every_variant_agrees_with_it_and_the_server_answers_as_it_did(kind: str, painted: DataSet, tmp_path: Path) -> None:
    if kind == "onnx":
        path = onnx_network(tmp_path / "theirs.onnx", KNOWN["imagenet"], layout="nhwc", batch=1)
    else:
        pytest.importorskip("transformers")
        path = taught(tmp_path / "theirs", painted)
    brought = bring(path, painted, tmp_path / "work", Options(labels=tuple(LABELS)))
    check_variants(brought, painted, tmp_path / "bundle", VARIANTS)
    files = list(painted.files(painted.rows("test")))
    reference = Reference(brought.folder, brought.info, TF_PYTHON)
    predictor = StandalonePredictor(tmp_path / "bundle")
    served: Scores = reference.probabilities(files)
    for file, row in zip(files, served, strict=True):
        answer = predictor.predict(file.read_bytes())
        assert answer["label"] == LABELS[int(row.argmax())]
