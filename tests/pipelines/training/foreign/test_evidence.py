"""A version that came from elsewhere gets the evidence that any version gets: exports that agree, from image files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from foreign_world import LABELS, TF_PYTHON, bring, onnx_network
from test_hugging_face import save

from pipelines.bundles.tools import find_tools
from pipelines.data.dataset import DataSet
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


@pytest.mark.parametrize("kind", ["onnx", "hugging face"])
def test_every_variant_agrees_with_it_and_the_server_answers_as_it_did(kind: str, painted: DataSet, tmp_path: Path) -> None:
    if kind == "onnx":
        path = onnx_network(tmp_path / "theirs.onnx", KNOWN["imagenet"], layout="nhwc", batch=1)
    else:
        pytest.importorskip("transformers")
        path = taught(tmp_path / "theirs", painted)
    brought = bring(path, painted, tmp_path / "work", Options(labels=tuple(LABELS)))
    files = list(painted.files(painted.rows("test")))
    reference = Reference(brought.folder, brought.info, TF_PYTHON)
    specs = [variant_spec(name) for name in VARIANTS]
    facts = Facts("mine/1", "0" * 64, None, None)
    request = ExportRequest(reference, facts, specs, files, list(painted.files(painted.rows("train"))))
    built = build_bundle(request, tmp_path / "bundle", find_tools(Settings(), tfjs=False), lambda _: None)
    figures = {row.variant: row for row in built.parity}
    assert set(figures) == set(VARIANTS)
    for row in figures.values():
        assert row.kept, row
        assert row.top1_agreement == 1.0
        assert row.control_agreement < 1.0, "the control: another picture's answer is another class"
    predictor = StandalonePredictor(tmp_path / "bundle")
    served: Scores = reference.probabilities(files)
    for file, row in zip(files, served, strict=True):
        answer = predictor.predict(file.read_bytes())
        assert answer["label"] == LABELS[int(row.argmax())]
