"""A bundle with a dense layer at its end, and files that a page could have made of what was taught on its features."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from registry.files import building, write_atomic, write_json
from serving.bundle.bundle import Bundle, open_bundle
from serving.bundle.preprocess import Preprocess
from serving.bundle.seal import BundleIndex, seal

WIDTH, SIZE = 12, 32
LABELS = ("noon ☀", "dusk", "été '22'")
"""In the order in which they were recorded, which is not the alphabet's."""
COLOURS = {"noon ☀": (200, 90, 60), "dusk": (70, 150, 90), "été '22'": (60, 80, 190)}
TAKES, FRAMES = 4, 3


def network(seed: int = 0) -> onnx.ModelProto:
    """Mean colors of quarters of a picture → 12 features → the probabilities of two classes; the features are an output too."""
    random = np.random.default_rng(seed)
    constants = {
        "mix": random.normal(size=(12, WIDTH)).astype(np.float32),
        "own": random.normal(size=(WIDTH, 2)).astype(np.float32),
        "shift": np.full(WIDTH, 0.5, np.float32),
        "own_bias": np.zeros(2, np.float32),
    }
    nodes = [
        helper.make_node("AveragePool", ["tensor"], ["pooled"], kernel_shape=[SIZE // 2] * 2, strides=[SIZE // 2] * 2),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "mix", "shift"], ["mixed"]),
        helper.make_node("Relu", ["mixed"], ["relu"]),
        helper.make_node("MatMul", ["relu", "own"], ["product"]),
        helper.make_node("Add", ["product", "own_bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "base",
        [helper.make_tensor_value_info("tensor", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def base_bundle(folder: Path, model: onnx.ModelProto | None = None, *files: str) -> Bundle:
    """A sealed bundle of it, as version 7 of `hand`. `files`: further members, to be of other variants."""
    content = (model or network()).SerializeToString()
    with building(folder) as work:
        for name in ("model.onnx", "model.tensor.onnx"):
            write_atomic(work / name, content)
        for name in files or ("tfjs/float32/model.json",):
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            write_atomic(work / name, b"{}")
        write_json(work / "preprocess.json", asdict(Preprocess(size=SIZE)))
        write_json(work / "labels.json", ["left", "right"])
        seal(work, BundleIndex(model="hand", version=7, model_digest="1" * 64, files={}, tools={}))
    return open_bundle(folder)


def features_of(pictures: Sequence[bytes], model: onnx.ModelProto | None = None) -> np.ndarray:
    """What the base's last layer is given, `[N, 12]`: by ONNX Runtime, from a graph that shows it."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model or network())
    shown.graph.output.append(helper.make_tensor_value_info("relu", TensorProto.FLOAT, ["batch", WIDTH]))
    session = onnxruntime.InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])
    preprocess = Preprocess(size=SIZE)
    tensor = preprocess.tensor(np.stack([preprocess.pixels(picture) for picture in pictures]))
    return session.run(["relu"], {"tensor": tensor})[0]


@dataclass
class Handover:
    """A file of the page, before it is zipped: each part may be changed."""

    document: dict[str, Any]
    pictures: dict[str, bytes]

    def write(self, path: Path, **changes: Any) -> Path:
        """The zip; `changes` replace parts of the document."""
        return zipped(path, {**self.pictures, "taught.json": json.dumps(self.document | changes).encode()})


def zipped(path: Path, members: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def teach(
    bundle: Bundle,
    labels: Sequence[str] = LABELS,
    takes: int = TAKES,
    features_of: Callable[[Sequence[bytes]], np.ndarray] = features_of,
) -> Handover:
    """Record takes of each class, train a head on all but each class's last, and hand over as the page does."""
    random, images, pictures = np.random.default_rng(5), list[dict[str, str]](), dict[str, bytes]()
    for number, (label, colour) in enumerate(zip(labels, COLOURS.values(), strict=True)):
        for take in range(takes):
            light = random.normal(0, 12, 3)
            for _ in range(FRAMES):
                file = f"class-{number + 1:02d}/take-{number * takes + take + 1:03d}/{len(images):05d}.jpg"
                pictures[file] = draw(np.asarray(colour) + light + random.normal(0, 3, 3), random)
                images.append({"file": file, "label": label, "take": file.split("/")[1]})
    held_out = [f"take-{(number + 1) * takes:03d}" for number in range(len(labels))]
    features = features_of(list(pictures.values()))
    trained = [index for index, image in enumerate(images) if image["take"] not in held_out]
    kernel, bias = fit(features[trained], [labels.index(images[index]["label"]) for index in trained], len(labels))
    answers = softmax(features.astype(np.float64) @ kernel + bias)
    unseen = [index for index in range(len(images)) if index not in trained]
    right = [answers[index].argmax() == labels.index(images[index]["label"]) for index in unseen]
    return Handover(
        {
            "format": 1,
            "base": {"model": bundle.index.model, "version": bundle.index.version, "bundle": bundle.index.digest},
            "labels": list(labels),
            "head": {"kernel": kernel.ravel().tolist(), "bias": bias.tolist()},
            "training": {"losses": [1.1, 0.2], "accuracy": float(np.mean(right)), "held_out": held_out},
            "images": images,
            "checks": [{"file": images[index]["file"], "probabilities": answers[index].tolist()} for index in unseen],
        },
        pictures,
    )


def fit(features: np.ndarray, targets: Sequence[int], labels: int) -> tuple[np.ndarray, np.ndarray]:
    """A dense layer by least squares, `[features, labels]` and `[labels]`, in float32 as the page's."""
    inputs = np.concatenate([features, np.ones((len(features), 1))], 1)
    solved = np.linalg.lstsq(inputs, np.eye(labels)[list(targets)] * 8, rcond=1e-3)[0].astype(np.float32)
    return solved[:-1], solved[-1]


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def draw(colour: np.ndarray, random: np.random.Generator) -> bytes:
    """A camera's frame of about one color, as the page keeps it."""
    pixels = colour + random.normal(0, 6, (48, 64, 3)) + np.linspace(-15, 15, 64)[None, :, None]
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()
