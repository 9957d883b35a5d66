"""Hugging Face's classifiers: each way of resizing that their processors have, held to the processor itself."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from foreign_world import LABELS, answers_of, bring

from pipelines.data.dataset import DataSet
from pipelines.training.foreign.options import Options
from registry.errors import IntegrityError, ModelyardError
from serving.bundle.decode import decode

transformers = pytest.importorskip("transformers")
PROCESSORS = {
    "vit, squeezed": ("ViTImageProcessor", {"size": {"height": 32, "width": 32}}),
    "vit, bicubic and ImageNet's means": (
        "ViTImageProcessor",
        {"size": {"height": 32, "width": 32}, "resample": 3, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.2, 0.3, 0.4]},
    ),
    "not normalised": ("ViTImageProcessor", {"size": {"height": 32, "width": 32}, "do_normalize": False}),
    "deit, squeezed and cropped": (
        "DeiTImageProcessor",
        {"size": {"height": 37, "width": 37}, "crop_size": {"height": 32, "width": 32}},
    ),
    "convnext, a share of the shorter side": ("ConvNextImageProcessor", {"size": {"shortest_edge": 32}, "crop_pct": 0.875}),
    "mobilenet, shorter side and crop": (
        "MobileNetV2ImageProcessor",
        {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}},
    ),
    "mobilevit, blue first": (
        "MobileViTImageProcessor",
        {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}, "do_flip_channel_order": True},
    ),
}


def vit(folder: Path, labels: list[str] = LABELS, seed: int = 0):
    """A small vision transformer; its weights are large, so that what differs is seen."""
    import torch

    torch.manual_seed(seed)
    names = dict(enumerate(labels))
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.ViTConfig(
        **sizes, image_size=32, patch_size=8, initializer_range=0.3, id2label=names, label2id={v: k for k, v in names.items()}
    )
    network = transformers.ViTForImageClassification(config).eval()
    network.save_pretrained(folder)
    return network


def save(folder: Path, processor: str = "vit, squeezed", **options) -> Path:
    vit(folder, **options)
    name, fields = PROCESSORS[processor]
    getattr(transformers, name)(**fields).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("processor", PROCESSORS)
def test_its_processor_and_ours_give_the_same_answers_from_files(processor: str, painted: DataSet, tmp_path: Path) -> None:
    import torch

    spoken = list[str]()
    folder = save(tmp_path / "theirs", processor)
    brought = bring(folder, painted, tmp_path / "work", spoken=spoken)
    files = painted.files(painted.rows("test"))
    itself = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    network = transformers.AutoModelForImageClassification.from_pretrained(folder)
    pixels = torch.cat([itself(decode(file.read_bytes(), "x"), return_tensors="pt")["pixel_values"] for file in files])
    with torch.no_grad():
        theirs = network(pixel_values=pixels).logits.softmax(1).numpy()
    ours = answers_of(brought, files)
    assert np.abs(theirs - ours).max() < 1e-4
    assert np.abs(np.roll(theirs, 1, axis=0) - ours).max() > 0.02, "the control: another picture's answer is something else"
    assert any("compared with its own processor" in line for line in spoken)


def test_the_order_of_its_labels_is_put_into_the_data_sets(painted: DataSet, tmp_path: Path) -> None:
    straight = bring(save(tmp_path / "a"), painted, tmp_path / "one")
    turned = bring(save(tmp_path / "b", labels=LABELS[::-1]), painted, tmp_path / "two")
    files = painted.files(painted.rows("test"))
    assert np.abs(answers_of(straight, files)[:, ::-1] - answers_of(turned, files)).max() < 1e-5


def test_labels_without_a_meaning_are_no_labels(painted: DataSet, tmp_path: Path) -> None:
    folder = save(tmp_path / "theirs", labels=["LABEL_0", "LABEL_1", "LABEL_2"])
    assert bring(folder, painted, tmp_path / "work", Options(labels=tuple(LABELS))).info.labels == LABELS


def test_a_processor_that_lies_about_its_model_is_noticed(
    painted: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were our reading of a processor wrong, the comparison would say so: here it is made wrong."""
    from dataclasses import replace

    from pipelines.training.foreign import hf_processor

    read = hf_processor._preprocess
    wrong = lambda *values: replace(read(*values), resize="shortest side, bilinear, antialiased")  # noqa: E731
    monkeypatch.setattr(hf_processor, "_preprocess", wrong)
    with pytest.raises(IntegrityError, match="does not answer as its own processor does"):
        bring(save(tmp_path / "theirs"), painted, tmp_path / "work")


def edit(folder: Path, name: str, **fields) -> None:
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _other_task(folder: Path) -> None:
    edit(folder, "config.json", architectures=["ViTForMaskedImageModeling"])


def _code(folder: Path) -> None:
    edit(folder, "config.json", auto_map={"AutoModelForImageClassification": "evil.Model"})
    (folder / "evil.py").write_text("raise SystemExit('it ran')")


def _headless(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = {key: value for key, value in load_file(folder / "model.safetensors").items() if "classifier" not in key}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


FAULTS = {
    "a pickle": (_pickled, "only pytorch_model.bin, which is not read here"),
    "another task": (_other_task, "is a ViTForMaskedImageModeling, not an image classifier"),
    "code": (_code, "brings code of its own (auto_map)"),
    "weights that are missing": (_headless, "has missing weights (classifier.bias"),
    "no processor": (lambda folder: (folder / "preprocessor_config.json").unlink(), "has no preprocessor_config.json"),
    "nearest": (lambda folder: edit(folder, "preprocessor_config.json", resample=0), "resizes with method 0"),
    "no resize": (lambda folder: edit(folder, "preprocessor_config.json", do_resize=False), "does not resize"),
    "no square": (
        lambda folder: edit(folder, "preprocessor_config.json", size={"height": 32, "width": 40}),
        "which is no square",
    ),
    "no config": (lambda folder: (folder / "config.json").write_text("{"), "config.json that cannot be read"),
    "no weights": (lambda folder: (folder / "model.safetensors").write_bytes(b"\x00" * 40), "cannot be loaded by transformers"),
    "another size": (
        lambda folder: edit(folder, "preprocessor_config.json", size={"height": 40, "width": 40}),
        "cannot be run on",
    ),
    "other labels": (
        lambda folder: edit(folder, "config.json", id2label={"0": "a", "1": "b", "2": "c"}),
        "knows the classes a, b",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_folder_that_is_no_whole_classifier_is_one_line(fault: str, painted: DataSet, tmp_path: Path) -> None:
    change, message = FAULTS[fault]
    folder = save(tmp_path / "theirs")
    change(folder)
    with pytest.raises(ModelyardError, match=re.escape(message)) as caught:
        bring(folder, painted, tmp_path / "work")
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
