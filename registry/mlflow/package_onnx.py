"""Writing an ONNX network as a stock MLflow model folder: one file, no weights beside it."""

from __future__ import annotations

import logging
import warnings
from importlib.metadata import version
from pathlib import Path

import mlflow.onnx
import numpy as np
import onnx
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

from registry.errors import ModelyardError, shorten


def package_onnx(model: onnx.ModelProto, folder: Path, size: int, classes: int) -> None:
    """Write `model`, which maps float32 `[N, 3, size, size]` in 0..1 to float32 `[N, classes]`, in MLflow's ONNX format."""
    float32 = np.dtype("float32")
    inputs, outputs = TensorSpec(float32, (-1, 3, size, size), "tensor"), TensorSpec(float32, (-1, classes), "probabilities")
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)  # it looks for pip, which uv's environments lack
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlflow.onnx.save_model(
                model,
                folder,
                signature=ModelSignature(inputs=Schema([inputs]), outputs=Schema([outputs])),
                pip_requirements=[f"{name}=={version(name)}" for name in ("mlflow", "onnx", "onnxruntime")],
                onnx_execution_providers=["CPUExecutionProvider"],
                save_as_external_data=False,
            )
    except MlflowException as error:
        raise ModelyardError("network", f"MLflow cannot write it ({shorten(error, 160)})", "report it") from error
