"""A data set of three colors, and networks that tell them apart if they are given what they were made for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from pipelines.data.build import build_dataset
from pipelines.data.dataset import DataSet
from pipelines.job.jobfile import Data
from pipelines.training.foreign.bring import Bringer, Brought
from pipelines.training.foreign.keras_file import World
from pipelines.training.foreign.options import KNOWN, Normalise, Options
from pipelines.training.foreign.recognise import recognise
from serving.export.reference import Answers, Reference
from serving.export.subprocess_job import Bounds

ROOT = Path(__file__).parents[4]
TF_PYTHON = ROOT / ".venv-tf" / "bin" / "python"
COLOURS = {"dusk": (0.4, 0.45, 0.5), "night": (0.15, 0.2, 0.25), "noon": (0.7, 0.75, 0.8)}
"""How bright a picture is: what a network with another normalisation than its own takes for something else."""
LABELS = list(COLOURS)
SIZE, GAIN = 32, 30.0
NOTHING_SAID = Options()


def paint(folder: Path, count: int = 12) -> DataSet:
    """Pictures of no square shape, each near its class's color, dealt into a data set."""
    random = np.random.default_rng(0)
    for label, colour in COLOURS.items():
        (folder / "pictures" / label).mkdir(parents=True)
        for index in range(count):
            shape = (40 + index, 64 - index, 3)
            ramp = np.linspace(-25, 25, shape[1])[None, :, None] * random.choice([-1, 1])
            pixels = np.asarray(colour) * 255 + random.normal(0, 5, 3) + random.normal(0, 6, shape) + ramp
            top, left = random.integers(5, 20, 2)
            pixels[top : top + 9, left : left + 9] += random.choice([-30, 30], 3)
            picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
            picture.save(folder / "pictures" / label / f"{index:02d}.png")
    return build_dataset(Data(images=folder / "pictures"), folder / "painted", lambda *_: None)


def weights(normalise: Normalise = KNOWN["0..1"], labels: Sequence[str] = LABELS) -> tuple[np.ndarray, np.ndarray]:
    """A linear layer on mean colors `[3, classes]` and its bias: the nearest class's color, in normalised units, is the answer."""
    colours = np.asarray([COLOURS[label] for label in labels], np.float32)
    means = normalise.apply(colours.reshape(-1, 3, 1, 1)).reshape(-1, 3)
    gain = GAIN * float(np.prod(normalise.std) ** (2 / 3))
    return (2 * gain * means.T).astype(np.float32), (-gain * (means**2).sum(1)).astype(np.float32)


def expected(data: DataSet, files: Sequence[Path], labels: Sequence[str] = LABELS) -> Answers:
    """What such a network answers, whatever it is written in."""
    from serving.bundle.preprocess import Preprocess, stack_pixels

    del data
    pixels = stack_pixels(Preprocess(size=SIZE), files).astype(np.float64).mean((1, 2)) / 255
    matrix, bias = weights(labels=labels)
    scores = pixels @ matrix + bias
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32)


def onnx_network(
    path: Path,
    normalise: Normalise = KNOWN["0..1"],
    *,
    labels: Sequence[str] = LABELS,
    kind: int = TensorProto.FLOAT,
    layout: str = "nchw",
    batch: int | str = "batch",
    side: int | str = SIZE,
    softmax: bool = False,
    opset: int = 18,
    metadata: dict[str, str] | None = None,
) -> Path:
    """The network as another exporter would have written it. A fixed batch is written into a Reshape, as exporters do."""
    matrix, bias = weights(normalise, labels)
    number = kind if kind != TensorProto.UINT8 else TensorProto.FLOAT
    dtype = helper.tensor_dtype_to_np_dtype(number)
    fixed = isinstance(batch, int)
    shape = [batch, 3, side, side] if layout == "nchw" else [batch, side, side, 3]
    nodes = [helper.make_node("Cast", ["input"], ["numbers"], to=number)]
    axes = [2, 3] if layout == "nchw" else [1, 2]
    if opset >= 18:
        nodes.append(helper.make_node("ReduceMean", ["numbers", "axes"], ["pooled"], keepdims=1))
    else:
        nodes.append(helper.make_node("ReduceMean", ["numbers"], ["pooled"], axes=axes, keepdims=1))
    nodes.append(helper.make_node("Reshape", ["pooled", "flat_shape"], ["flat"]))
    nodes.append(helper.make_node("Gemm", ["flat", "matrix", "bias"], ["scores" if softmax else "output"]))
    if softmax:
        nodes.append(helper.make_node("Softmax", ["scores"], ["output"], axis=1))
    constants = {"matrix": matrix.astype(dtype), "bias": bias.astype(dtype)}
    constants["flat_shape"] = np.asarray([batch if fixed else -1, 3], np.int64)
    if opset >= 18:
        constants["axes"] = np.asarray(axes, np.int64)
    graph = helper.make_graph(
        nodes,
        "theirs",
        [helper.make_tensor_value_info("input", kind, shape)],
        [helper.make_tensor_value_info("output", number, [batch, len(labels)])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    for key, value in (metadata or {}).items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)
    return path


def torch_network(normalise: Normalise = KNOWN["0..1"], *, softmax: bool = False):
    """The same network in torch."""
    import torch
    from torch import nn

    matrix, bias = weights(normalise)

    class Nearest(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, len(LABELS))
            self.layer.weight.data, self.layer.bias.data = torch.from_numpy(matrix.T.copy()), torch.from_numpy(bias.copy())

        def forward(self, images):
            scores = self.layer(images.mean((2, 3)))
            return scores.softmax(1) if softmax else scores

    return Nearest().eval()


def program(path: Path, network, batch: int | None = None, side: int = SIZE) -> Path:
    """A torch.export program of a network; of a fixed batch, if given."""
    import torch

    images = torch.rand(batch or 2, 3, side, side)
    dynamic = None if batch else ({0: torch.export.Dim.DYNAMIC},)
    torch.export.save(torch.export.export(network, (images,), dynamic_shapes=dynamic), path)
    return path


def bring(path: Path, data: DataSet, work: Path, options: Options = NOTHING_SAID, spoken: list[str] | None = None) -> Brought:
    """Bring a model as `modelyard register` does, up to where it would be registered."""
    work.mkdir(parents=True, exist_ok=True)
    lines = spoken if spoken is not None else []
    bringer = Bringer(work, World(TF_PYTHON, Bounds(300, 8)), options, lines.append)
    return bringer.bring(recognise(path), path, data, str(path))


def answers_of(brought: Brought, files: Sequence[Path]) -> Answers:
    """The packaged model's answers on image files."""
    return Reference(brought.folder, brought.info, TF_PYTHON).probabilities(files)
