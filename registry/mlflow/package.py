"""Writing a trained torch module as a stock MLflow model folder, without a pickle."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import mlflow.pytorch
import numpy as np
import torch
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec
from torch import nn
from torch._dynamo.exc import TorchDynamoException
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from registry.errors import InputError, ModelyardError, shorten


def package_torch(module: nn.Module, folder: Path, size: int, outputs: Sequence[tuple[int, ...]]) -> None:
    """Write `module` in MLflow's default PyTorch format (`pt2`, a torch.export program, dynamic batch).

    The module maps float32 `[N, 3, size, size]` in 0..1 to float32 outputs of these shapes, -1 first. The example has two
    rows because torch.export would take a batch of one for a constant. Raises InputError for a network that cannot
    be written as a program, such as one whose way depends on what it sees.
    """
    row = (-1, 3, size, size)
    example = np.random.default_rng(0).random((2, *row[1:]), dtype=np.float32)
    float32 = np.dtype("float32")
    named = len(outputs) > 1
    shapes: list[ColSpec | TensorSpec] = [
        TensorSpec(float32, shape, f"output_{index}" if named else None) for index, shape in enumerate(outputs)
    ]
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)  # it looks for pip, which uv's environments lack
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlflow.pytorch.save_model(
                module.eval(),
                folder,
                signature=ModelSignature(inputs=Schema([TensorSpec(float32, row)]), outputs=Schema(shapes)),
                input_example=example,
                serialization_format="pt2",
                pip_requirements=[f"{name}=={version(name)}" for name in ("mlflow", "torch")],
            )
    except (TorchDynamoException, GuardOnDataDependentSymNode) as error:
        what = f"cannot be written as a program: {shorten(str(error).strip().splitlines()[0], 160)}"
        raise InputError("network", what, "let no branch or loop depend on the values that it sees") from error
    except MlflowException as error:
        raise ModelyardError("network", f"MLflow cannot write it ({shorten(error, 160)})", "report it") from error
    _forget_this_machine(folder / "data" / "model.pt2")


def _forget_this_machine(program: Path) -> None:
    """Drop the stack traces that torch.export keeps of each operation: paths of this machine, in every release."""
    exported = torch.export.load(program)
    for node in exported.graph.nodes:
        for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node"):
            node.meta.pop(key, None)
    torch.export.save(exported, program)
