"""The `keras` trainer: TensorFlow never enters this process; files go in and files come out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from pipelines.data.dataset import DataSet
from pipelines.job.trainers import KerasTrainer
from pipelines.training.trainers.contract import Fitted, OnEpoch, Watch
from serving.bundle.modelinfo import ModelInfo, write_info
from serving.bundle.preprocess import Preprocess, stack_pixels
from serving.export.subprocess_job import Ties, run_subprocess

_SCRIPT = Path(__file__).with_name("keras_fit.py")


class KerasAdapter:
    """Trains in a child process of the TensorFlow world."""

    def __init__(self, config: KerasTrainer, tf_python: Path) -> None:
        """Use a trainer's config and the TensorFlow world's interpreter."""
        self._config = config
        self._python = tf_python

    def fit(self, data: DataSet, work: Path, watch: Watch) -> Fitted:
        """Hand the preprocessed pixels over as files and read epochs from the child's output."""
        preprocess = Preprocess(size=self._config.imgsz, layout="NHWC", decode=self._config.decode)
        folder = work / "model"
        job: dict[str, object] = {**self._config.model_dump(), "classes": len(data.manifest.labels), "out": str(folder)}
        for split in ("train", "val"):
            rows = data.rows(split)
            arrays = {"pixels": stack_pixels(preprocess, data.files(rows)), "targets": np.array(data.targets(rows), np.int64)}
            for name, array in arrays.items():
                path = work / f"{split}_{name}.npy"
                np.save(path, array)
                job[f"{split}_{name}"] = str(path)
        watch.epochs(self._config.epochs)
        run_subprocess([self._python, "-I", _SCRIPT], job, "Keras", ties=Ties(lambda line: _epoch(line, watch.on_epoch)))
        info = ModelInfo(
            trainer="keras",
            arch=self._config.arch,
            framework="keras",
            labels=data.manifest.labels,
            preprocess=preprocess,
            dataset=data.manifest.digest,
        )
        write_info(folder, info)
        return Fitted(folder)


def _epoch(line: str, on_epoch: OnEpoch) -> None:
    """A line of the child's output is an epoch's metrics, as JSON."""
    if line.startswith("{"):
        record = json.loads(line)
        on_epoch(record["epoch"], record["metrics"])
