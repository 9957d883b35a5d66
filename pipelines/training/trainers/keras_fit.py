"""In the TensorFlow world: train a small Keras network. `python -I keras_fit.py JOB.json`.

Job: the trainer's config, `classes`, `train_pixels`, `train_targets`, `val_pixels`, `val_targets` (.npy, uint8 NHWC and
int64), `out` (an MLflow model folder to write), `report`. It prints a JSON line after each epoch.
"""

import difflib
import json
import os
import sys
from pathlib import Path

job = json.loads(Path(sys.argv[1]).read_text())
ours = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # TensorFlow prints to the C-level standard output; only our own lines belong there

import keras
import mlflow.tensorflow
import numpy as np
import tensorflow as tf
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

WIDTHS = (24, 48, 96, 128)


def convolution(x: keras.KerasTensor, width: int, kernel: int = 3, stride: int = 1) -> keras.KerasTensor:
    """Convolution, batch normalisation, ReLU."""
    x = keras.layers.Conv2D(width, kernel, strides=stride, padding="same", use_bias=False)(x)
    return keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))


def pretrained(arch: str, size: int, classes: int, weights: str) -> keras.Model:
    """A classifier of keras.applications with a new head; its own normalisation is part of the model."""
    known = {name: made for name, made in vars(keras.applications).items() if name[0].isupper() and callable(made)}
    if arch not in known:
        near = ", ".join(difflib.get_close_matches(arch, known, n=3, cutoff=0.4)) or "MobileNetV2"
        raise SystemExit(f"arch '{arch}' is no classifier of keras.applications; did you mean {near}?")
    images = keras.Input((size, size, 3), name="images", dtype="float32")
    own = sys.modules[known[arch].__module__].preprocess_input
    backbone = known[arch](
        include_top=False, pooling="avg", input_shape=(size, size, 3), weights="imagenet" if weights == "imagenet" else None
    )
    if weights not in ("imagenet", "scratch"):
        backbone.load_weights(weights)
    backbone.trainable = job["freeze"] != "backbone" if weights != "scratch" else True
    features = backbone(own(images * 255.0), training=False if weights != "scratch" else None)
    head = keras.layers.Dense(classes, activation="softmax", name="probabilities")
    return keras.Model(images, head(keras.layers.Dropout(0.2)(features)))


def network(size: int, classes: int) -> keras.Model:
    """A stem that halves the side, three blocks that halve it again, and a head; float32 NHWC 0..1 to probabilities."""
    images = keras.Input((size, size, 3), name="images", dtype="float32")
    x = convolution(keras.layers.BatchNormalization(momentum=0.9)(images), WIDTHS[0], kernel=5, stride=2)
    for width in WIDTHS[1:]:
        x = convolution(convolution(x, width, stride=2), width)
    x = keras.layers.Dropout(0.2)(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(images, keras.layers.Dense(classes, activation="softmax", name="probabilities")(x))


class Tell(keras.callbacks.Callback):
    """One JSON line an epoch."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Keras' names in ours."""
        names = {"loss": "train_loss", "val_loss": "val_loss", "val_accuracy": "val_top1"}
        metrics = {names[key]: float(value) for key, value in (logs or {}).items() if key in names}
        print(json.dumps({"epoch": epoch + 1, "metrics": metrics}), file=ours, flush=True)


class Keep(keras.callbacks.Callback):
    """The whole model with its optimizer, after each epoch and under the epoch's number: whole or not there."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:  # noqa: ARG002 Keras' signature
        """Written beside first; those before go afterwards."""
        folder = Path(job["checkpoints"])
        before, path = checkpoints(), folder / f"epoch-{epoch + 1:05d}.keras"
        self.model.save(folder / "writing.keras")
        os.replace(folder / "writing.keras", path)
        for old in before:
            if old != path:
                old.unlink()


def checkpoints() -> list[Path]:
    """What an earlier process has left, the newest last."""
    return sorted(Path(job["checkpoints"]).glob("epoch-*.keras")) if job.get("checkpoints") else []


class Finite(keras.callbacks.Callback):
    """Stops when a loss is no number, and says at which step, and which pictures were in that batch."""

    def __init__(self) -> None:
        """No epoch has been trained."""
        super().__init__()
        self.epochs = 0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:  # noqa: ARG002 Keras' signature
        """Count the epochs of this process, each of which has an order of its own."""
        self.epoch, self.epochs = epoch, self.epochs + 1

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """The mean of an epoch's losses is no number from the first that is none."""
        loss = float((logs or {}).get("loss", 0.0))
        if np.isfinite(loss):
            return
        order = list(shuffled(tf.data.Dataset.range(len(targets_of("train")))).batch(job["batch"]).repeat(self.epochs))
        rows = order[(self.epochs - 1) * len(train) + batch].numpy().tolist()
        step = self.epoch * len(train) + batch + 1
        print(json.dumps({"not_finite": step, "rows": rows, "loss": str(loss)}), file=ours, flush=True)
        raise SystemExit(f"the loss is {loss}")


def targets_of(split: str) -> np.ndarray:
    """The classes of a split."""
    return np.load(job[f"{split}_targets"], allow_pickle=False)


def shuffled(data: tf.data.Dataset) -> tf.data.Dataset:
    """The training pictures' order, another one in each epoch: the same for whatever has as many rows."""
    return data.shuffle(len(targets_of("train")), seed=job["seed"])


def stream(split: str, *, training: bool) -> tf.data.Dataset:
    """Batches of float32 images in 0..1 with their classes; augmented for training."""
    pixels, targets = (np.load(job[f"{split}_{name}"], allow_pickle=False) for name in ("pixels", "targets"))
    data = tf.data.Dataset.from_tensor_slices((pixels, targets))
    if training:
        data = shuffled(data)
    data = data.batch(job["batch"]).map(lambda image, target: (tf.cast(image, tf.float32) / 255.0, target))
    return data.map(lambda image, target: (vary(image), target)) if training else data


placed = keras.Sequential(
    [
        keras.layers.RandomTranslation(0.08, 0.08, fill_mode="reflect", seed=1),
        keras.layers.RandomRotation(0.03, fill_mode="reflect", seed=2),
        keras.layers.RandomZoom(0.15, fill_mode="reflect", seed=3),
    ]
)


def vary(image: tf.Tensor) -> tf.Tensor:
    """Placed and lit a little differently."""
    gain = tf.random.uniform([tf.shape(image)[0], 1, 1, 3], 0.8, 1.2)
    return tf.clip_by_value(placed(image, training=True) * gain, 0.0, 1.0)


keras.utils.set_random_seed(job["seed"])
size, classes = job["imgsz"], job["classes"]
model = network(size, classes) if job["arch"] == "small_cnn" else pretrained(job["arch"], size, classes, job["weights"])
train = stream("train", training=True)
steps = job["epochs"] * len(train)
warm_up = {"warmup_target": job["lr0"], "warmup_steps": max(1, steps // 5)}
rate = keras.optimizers.schedules.CosineDecay(job["lr0"] / 25, max(1, steps - steps // 5), **warm_up)
model.compile(keras.optimizers.AdamW(rate, weight_decay=0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
has_val = len(np.load(job["val_targets"], allow_pickle=False)) > 0
patience = []
if job["patience"] and has_val:
    patience.append(keras.callbacks.EarlyStopping("val_loss", patience=job["patience"], restore_best_weights=True))
done = 0
if checkpoints():
    done = int(checkpoints()[-1].stem.split("-")[1])
    model = keras.models.load_model(checkpoints()[-1], safe_mode=True)
if done < job["epochs"]:
    model.fit(
        train,
        initial_epoch=done,
        epochs=job["epochs"],
        verbose=0,
        callbacks=[Finite(), Tell(), *([Keep()] if job.get("checkpoints") else []), *patience],
        validation_data=stream("val", training=False) if has_val else None,
    )
tensor = TensorSpec(np.dtype("float32"), (-1, size, size, 3))
mlflow.tensorflow.save_model(
    model,
    path=job["out"],
    signature=ModelSignature(inputs=Schema([tensor]), outputs=Schema([TensorSpec(np.dtype("float32"), (-1, classes))])),
    input_example=np.load(job["train_pixels"], allow_pickle=False)[:2].astype(np.float32) / 255,
    pip_requirements=[f"tensorflow=={tf.__version__}", f"keras=={keras.__version__}", f"mlflow=={mlflow.__version__}"],
)
Path(job["report"]).write_text(json.dumps({"parameters": model.count_params()}))
