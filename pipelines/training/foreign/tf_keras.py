"""In the TensorFlow world: a Keras file of unknown origin, opened in safe mode. `python -I tf_keras.py JOB.json`.

Job: `keras` (a .keras file that `keras_file.py` has looked through); `tensors` (.npy files, float32 NHWC) with `answers`
(.npz); or `out` (an MLflow model folder to write) with `size`, `classes`, `mean`, `std`, `softmax`, `order`; `report`.
"""

import json
import os
import sys
from pathlib import Path

job = json.loads(Path(sys.argv[1]).read_text())
os.dup2(2, 1)  # TensorFlow prints to the C-level standard output

import keras
import numpy as np

BATCH = 64


class RefusedError(Exception):
    """What the file is, and what to do about it."""


def answers(model: keras.Model) -> None:
    """The model's own outputs for each array of tensors."""
    made = {}
    for index, path in enumerate(job["tensors"]):
        tensors = np.load(path, allow_pickle=False)
        parts = [model(tensors[start : start + BATCH], training=False) for start in range(0, len(tensors), BATCH)]
        if isinstance(parts[0], (list, tuple, dict)):
            raise RefusedError("has several outputs", "give a classifier with one output [batch, classes]")
        made[f"rows{index}"] = np.concatenate([np.asarray(part, np.float32) for part in parts])
    np.savez(job["answers"], **made)


def package(model: keras.Model) -> None:
    """The model from pixels in 0..1 to probabilities in the data set's order, as MLflow's TensorFlow flavour."""
    import mlflow.tensorflow
    import tensorflow as tf
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    size, classes, mean, std = job["size"], job["classes"], np.array(job["mean"]), np.array(job["std"])
    images = keras.Input((size, size, 3), name="images", dtype="float32")
    x = images
    if mean.any() or (std != 1).any():
        x = keras.layers.Rescaling(scale=(1 / std).tolist(), offset=(-mean / std).tolist(), name="our_normalisation")(x)
    x = model(x, training=False)
    x = keras.layers.Activation("softmax" if job["softmax"] else "linear", dtype="float32", name="our_probabilities")(x)
    ordering = None
    if job["order"]:
        ordering = keras.layers.Dense(classes, use_bias=False, dtype="float32", name="our_order")
        x = ordering(x)
        weights = np.zeros((classes, classes), np.float32)
        weights[job["order"], np.arange(classes)] = 1
        ordering.set_weights([weights])
    whole = keras.Model(images, x)
    tensor = TensorSpec(np.dtype("float32"), (-1, size, size, 3))
    mlflow.tensorflow.save_model(
        whole,
        path=job["out"],
        signature=ModelSignature(inputs=Schema([tensor]), outputs=Schema([TensorSpec(np.dtype("float32"), (-1, classes))])),
        input_example=np.random.default_rng(0).random((2, size, size, 3), dtype=np.float32),
        pip_requirements=[f"tensorflow=={tf.__version__}", f"keras=={keras.__version__}"],
    )


report = {}
try:
    try:
        opened = keras.saving.load_model(job["keras"], compile=False, safe_mode=True)
    except Exception as error:
        raise RefusedError(
            f"cannot be opened by Keras {keras.__version__} ({' '.join(str(error).split())[:200]})", "save it again"
        ) from error
    try:
        (package if job.get("out") else answers)(opened)
    except RefusedError:
        raise
    except Exception as error:
        why = f"cannot be run on pictures of this size ({' '.join(str(error).split())[:200]})"
        raise RefusedError(why, "give --imgsz as it was trained") from error
except RefusedError as error:
    report = {"problem": [job["subject"], *error.args]}
Path(job["report"]).write_text(json.dumps(report))
