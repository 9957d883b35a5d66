"""A torch.export program (`.pt2`): scanned before it is opened, and exported again with its head around it.

A program for a batch of one, which is what torch.export makes unless it is told otherwise, goes through ONNX, where a batch
can be set free.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.training.foreign.contract import About, Head, Scores
from pipelines.training.foreign.options import Layout, Normalise, Tensors
from registry.errors import InputError
from registry.mlflow.package import package_torch
from serving.bundle.modelinfo import ModelInfo
from serving.export.program import cause_of, load_program

_CHANNELS, _IMAGE_RANK, _BATCH = 3, 4, 64
_SAME = 1e-4
_DYNAMIC = "export it with dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)"


class TorchProgram:
    """A classifier in a torch.export program."""

    def __init__(self, path: Path, layout: Layout | None, subject: object = None) -> None:
        self._subject, self._path = subject or path, path
        self._program = load_program(path)
        shape, self._dtype = self._input()
        stated: Layout | None = "nchw" if shape[1] == _CHANNELS else "nhwc" if shape[3] == _CHANNELS else None
        if not (axis := layout or stated):
            raise InputError(self._subject, f"takes {shape}", "give a network of color pictures: [batch, 3, height, width]")
        self._layout: Layout = axis
        sides = shape[2:] if axis == "nchw" else shape[1:3]
        if sides[0] != sides[1]:
            why = f"takes {sides[0]} x {sides[1]} pixels"
            raise InputError(self._subject, why, "give one that takes squares: pictures are cropped to one")
        self.batch = shape[0]
        self.about = About("torch_program", path.stem, sides[0])
        self._module = self._program.module()

    def answers(self, batches: Sequence[Tensors]) -> list[Scores]:
        """Torch's answers. Raises InputError for a program that does not give one row a picture, or answers by chance."""
        rows = [
            np.concatenate([self._run(tensors[at : at + _BATCH]) for at in range(0, len(tensors), _BATCH)])
            for tensors in batches
        ]
        again = self._run(batches[0][:_BATCH])
        if np.abs(again - rows[0][: len(again)]).max() > _SAME * max(1.0, float(np.abs(again).max())):
            raise InputError(
                self._subject, "answers differently each time", "call `.eval()` on the network before exporting it"
            )
        return rows

    def package(self, folder: Path, info: ModelInfo, head: Head) -> ModelInfo:
        """The program from pixels in 0..1 to probabilities."""
        whole = WithHead(_Program(self._module, self._layout, self._dtype), head.normalise, head.order, softmax=head.softmax)
        try:
            package_torch(whole, folder, info.preprocess.size, [(-1, len(info.labels))])
        except InputError:
            raise
        except Exception as error:  # torch.export fails with whatever the program meets
            raise InputError(self._subject, f"cannot be exported again ({cause_of(error)})", _DYNAMIC) from error
        return info.changed(framework="torch")

    def as_onnx(self, target: Path) -> Path:
        """The same network as ONNX, for a batch that is fixed."""
        try:
            made = torch.onnx.export(self._program, (), dynamo=True, verbose=False)
        except Exception as error:  # the exporter raises its own and torch's errors alike
            what = f"takes a batch of {self.batch} only, and cannot be exported to ONNX ({cause_of(error)})"
            raise InputError(self._subject, what, _DYNAMIC) from error
        if made is None:
            raise InputError(self._subject, f"takes a batch of {self.batch} only", _DYNAMIC)
        made.save(str(target))
        return target

    def _input(self) -> tuple[list[int], torch.dtype]:
        """The sizes of its only input, 0 where they are free, and its type of number."""
        names = self._program.graph_signature.user_inputs
        nodes: list[Any] = [node for node in self._program.graph.nodes if node.op == "placeholder" and node.name in names]
        tensors = [node.meta["val"] for node in nodes if isinstance(node.meta.get("val"), Tensor)]
        if len(tensors) != 1 or len(names) != 1:
            raise InputError(self._subject, f"takes {len(names)} inputs", "export a network that takes one batch of images")
        sizes = [size if isinstance(size, int) else 0 for size in tensors[0].shape]
        if len(sizes) != _IMAGE_RANK:
            raise InputError(self._subject, f"takes {len(sizes)} dimensions", "export one that takes [batch, 3, height, width]")
        return sizes, tensors[0].dtype

    def _run(self, tensors: Tensors) -> Scores:
        network = _Program(self._module, self._layout, self._dtype)
        parts = [tensors] if self.batch == 0 else [tensors[at : at + 1].repeat(self.batch, 0) for at in range(len(tensors))]
        try:
            with torch.no_grad():
                outputs = [network(torch.from_numpy(np.ascontiguousarray(part))) for part in parts]
        except Exception as error:  # a program of other sizes, or one made for a GPU
            why = f"cannot be run on pictures of {tensors.shape[2]} px ({cause_of(error)})"
            raise InputError(self._subject, why, "give --imgsz as it was trained; export it on the CPU") from error
        rows = outputs[0] if self.batch == 0 else torch.cat([output[:1] for output in outputs])
        if not isinstance(rows, Tensor) or rows.ndim != 2:  # noqa: PLR2004
            raise InputError(self._subject, "does not answer [batch, classes]", "export a classifier with one output")
        return rows.numpy()


class _Program(nn.Module):
    """A loaded program as a module that can be exported again: it is in evaluation as it was exported, and stays so."""

    def __init__(self, module: nn.Module, layout: Layout, dtype: torch.dtype) -> None:
        super().__init__()
        self.module, self.layout, self.dtype = module, layout, dtype

    def train(self, mode: bool = True) -> _Program:  # noqa: FBT001, FBT002 torch's own signature
        """Stay as it is: a program cannot change its mode, and says so by an exception."""
        del mode
        return self

    def forward(self, images: Tensor) -> Tensor:
        images = images if self.layout == "nchw" else images.permute(0, 2, 3, 1)
        outputs = self.module(images.to(self.dtype))
        if isinstance(outputs, dict):
            outputs = outputs.get("logits", next(iter(outputs.values())))
        outputs = outputs[0] if isinstance(outputs, tuple | list) else outputs
        return outputs.flatten(1).float()


class WithHead(nn.Module):
    """A network with its normalisation before it, and after it the data set's order and a softmax."""

    def __init__(self, network: nn.Module, normalise: Normalise, order: Sequence[int] = (), *, softmax: bool = True) -> None:
        """Wrap a network that takes normalised images and gives scores."""
        super().__init__()
        self.network, self.softmax, self.changes, self.orders = network, softmax, normalise.changes, len(order) > 0
        self.mean: Tensor
        self.std: Tensor
        self.order: Tensor
        for name, values in (("mean", normalise.mean), ("std", normalise.std)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).reshape(1, _CHANNELS, 1, 1))
        self.register_buffer("order", torch.tensor(list(order), dtype=torch.int64))

    def forward(self, images: Tensor) -> Tensor:
        """Images in 0..1 `[N, 3, S, S]` to probabilities `[N, classes]`."""
        scores = self.network((images - self.mean) / self.std if self.changes else images)
        scores = scores[:, self.order] if self.orders else scores
        return scores.softmax(1) if self.softmax else scores
