"""The `keras` trainer: TensorFlow never enters this process; files go in and files come out."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.dataset import DataSet
from pipelines.job.trainers import KerasTrainer
from pipelines.training.trainers.budget import Plan, plan
from pipelines.training.trainers.classes import check_classes
from pipelines.training.trainers.contract import Fitted, Watch
from pipelines.training.trainers.failures import halving, not_finite
from registry.digests import sha256_file
from registry.errors import InputError, IntegrityError, ModelyardError, NotFoundError
from serving.bundle.modelinfo import ModelInfo, write_info
from serving.bundle.preprocess import Preprocess, stack_pixels
from serving.export.subprocess_job import Ties, ToolError, run_subprocess

SMALL_CNN = "small_cnn"
_SCRATCH_SIZE, _PRETRAINED_SIZE = 64, 224
_SCRIPT = Path(__file__).with_name("keras_fit.py")


class KerasAdapter:
    """Trains in a child process of the TensorFlow world."""

    def __init__(self, config: KerasTrainer, tf_python: Path) -> None:
        """Use a trainer's config and the TensorFlow world's interpreter."""
        self._config = config
        self._python = tf_python

    def fit(self, data: DataSet, work: Path, watch: Watch) -> Fitted:
        """Hand the preprocessed pixels over as files and read epochs from the child's output."""
        config = self._config
        check_classes(data)
        scratch = config.arch == SMALL_CNN
        if scratch and config.weights not in {"auto", "scratch"}:
            remedy = "give `arch:` an architecture of keras.applications, or `weights: scratch`"
            raise InputError("arch 'small_cnn'", f"cannot begin from `weights: {config.weights}`", remedy)
        size = config.imgsz or (_SCRATCH_SIZE if scratch else _PRETRAINED_SIZE)
        preprocess = Preprocess(size=size, layout="NHWC", decode=config.decode)
        folder = work / "model"
        planned = plan(len(data.rows("train")), config.epochs, config.batch)
        weights, known_as = _weights(config)
        chosen = {"imgsz": size, "epochs": planned.epochs, "weights": weights, "patience": _patience(planned)}
        job: dict[str, object] = {**config.model_dump(), **chosen, "classes": len(data.manifest.labels), "out": str(folder)}
        for split in ("train", "val"):
            rows = data.rows(split)
            arrays = {"pixels": stack_pixels(preprocess, data.files(rows)), "targets": np.array(data.targets(rows), np.int64)}
            for name, array in arrays.items():
                path = work / f"{split}_{name}.npy"
                np.save(path, array)
                job[f"{split}_{name}"] = str(path)
        watch.epochs(planned.epochs)
        watch.choose({**planned.choices(), "arch": config.arch, "weights": known_as, "imgsz": size})
        if watch.checkpoints:
            watch.checkpoints.mkdir(parents=True, exist_ok=True)
            job["checkpoints"] = str(watch.checkpoints.absolute())
        halving(config.batch, lambda batch: self._run(job | {"batch": batch}, data, watch), watch.say)
        info = ModelInfo(
            trainer="keras",
            arch=self._config.arch,
            framework="keras",
            labels=data.manifest.labels,
            preprocess=preprocess,
            dataset=data.manifest.digest,
        )
        write_info(folder, info)
        way = "scratch" if known_as == "scratch" else "frozen" if config.freeze == "backbone" else "fine-tuned"
        return Fitted(folder, name=f"keras {config.arch} {size} {way}")

    def _run(self, job: dict[str, object], data: DataSet, watch: Watch) -> None:
        """The child, followed by its lines. Raises for a loss that is no number."""
        broken = list[ModelyardError]()

        def take(line: str) -> None:
            record = _record(line)
            if "epoch" in record:
                watch.on_epoch(record["epoch"], record["metrics"])
            elif "not_finite" in record:
                rows = data.rows("train")
                files = [rows[index].file for index in record["rows"]]
                broken.append(not_finite(record["not_finite"], files, float(record["loss"])))

        try:
            run_subprocess([self._python, "-I", _SCRIPT], job, "Keras", ties=Ties(take))
        except ToolError as error:
            raise (broken or [error])[0] from error


def _weights(config: KerasTrainer) -> tuple[str, str]:
    """What the child begins from (`scratch`, `imagenet` or an absolute path), and what that is called."""
    if config.weights in {"auto", "scratch"}:
        return "scratch", "scratch"
    if config.weights == "imagenet":
        return "imagenet", "imagenet"
    path, digest = Path(config.weights), config.weights_sha256
    if not path.is_file():
        raise NotFoundError(path, "is no file of weights", "give a .weights.h5 file of this architecture")
    sha256 = sha256_file(path)
    if digest and sha256 != digest:
        raise IntegrityError(path, f"has the digest {sha256}, the job pins {digest}", "bring the file that was pinned")
    return str(path.absolute()), f"{path.name} (sha256 {sha256[:12]})"


def _record(line: str) -> dict[str, Any]:
    """A line of the child as its record; empty for what TensorFlow prints by itself."""
    with suppress(ValueError):
        record = json.loads(line)
        if isinstance(record, dict):
            return record
    return {}


def _patience(planned: Plan) -> int:
    """Epochs without a better loss on val after which training ends; 0: never, since the user said how many."""
    return 0 if planned.fixed else max(10, planned.epochs // 4)
