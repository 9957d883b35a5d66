"""Writing a trained torch module as a stock MLflow model folder, without a pickle."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import mlflow.pytorch
import numpy as np
import torch
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from torch import nn


def package_torch(module: nn.Module, folder: Path, size: int, classes: int) -> None:
    """Write `module` in MLflow's default PyTorch format (`pt2`, a torch.export program, dynamic batch).

    The module maps float32 `[N, 3, size, size]` in 0..1 to probabilities `[N, classes]`. The example has two rows
    because torch.export would take a batch of one for a constant.
    """
    row = (-1, 3, size, size)
    example = np.random.default_rng(0).random((2, *row[1:]), dtype=np.float32)
    mlflow.pytorch.save_model(
        module.eval(),
        folder,
        signature=ModelSignature(
            inputs=Schema([TensorSpec(np.dtype("float32"), row)]),
            outputs=Schema([TensorSpec(np.dtype("float32"), (-1, classes))]),
        ),
        input_example=example,
        serialization_format="pt2",
        pip_requirements=[f"{name}=={version(name)}" for name in ("mlflow", "torch")],
    )
    _forget_this_machine(folder / "data" / "model.pt2")


def _forget_this_machine(program: Path) -> None:
    """Drop the stack traces that torch.export keeps of each operation: paths of this machine, in every release."""
    exported = torch.export.load(program)
    for node in exported.graph.nodes:
        for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node"):
            node.meta.pop(key, None)
    torch.export.save(exported, program)
