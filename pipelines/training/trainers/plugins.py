"""Another package's trainer behind the contract: what it raises is one line, and what it returns is looked at before use."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipelines.data.dataset import DataSet
from pipelines.job.other_trainers import OtherTrainer, trainer_class
from pipelines.training.trainers.contract import Fitted, Watch
from registry.errors import ModelyardError, shorten
from serving.bundle.modelinfo import read_info
from serving.export.reference import Reference
from validation.scan import scan_folder

_LOOKED_AT = 8
_SUM = 1e-3
"""How far from 1 the sum of float32 probabilities may be."""
_REMEDY = "report it to the package's authors"


class PluginAdapter:
    """Runs a trainer of another package in this process. `tf_python` is TensorFlow's interpreter, for Keras models."""

    def __init__(self, config: OtherTrainer, tf_python: Path) -> None:
        self._config, self._tf_python = config, tf_python
        self._subject = f"trainer '{config.kind}'"

    def fit(self, data: DataSet, work: Path, watch: Watch) -> Fitted:
        """Train, then check the model as anything else of unknown origin. Raises ModelyardError for all that is wrong."""
        try:
            trainer = trainer_class(self._config.kind)(self._config.config())
            fitted = trainer.fit(data, work, watch)
        except ModelyardError:
            raise
        except (Exception, SystemExit) as error:
            why = f"failed ({type(error).__name__}: {shorten(error, 200)})"
            raise ModelyardError(self._subject, why, "see its output above, or report it to the package's authors") from error
        if not isinstance(fitted, Fitted):
            raise self._wrong(f"returned {type(fitted).__name__} where Fitted was expected")
        self._check(fitted, data)
        return fitted

    def _check(self, fitted: Fitted, data: DataSet) -> None:
        """The folder's files, its description, and its answers on a few pictures."""
        folder = Path(fitted.folder)
        if not (folder / "MLmodel").is_file():
            raise self._wrong(f"left no MLflow model in {folder.name}/ (there is no MLmodel)")
        if dangerous := scan_folder(folder).dangerous:
            raise self._wrong(f"left a dangerous file: {dangerous[0]}")
        info = read_info(folder, self._subject)
        if info.labels != data.manifest.labels:
            raise self._wrong(f"left a model of the classes {', '.join(info.labels)}, not {', '.join(data.manifest.labels)}")
        if info.dataset != data.manifest.digest:
            raise self._wrong("left a model that names another data set's digest")
        if info.task != data.manifest.task:
            raise self._wrong(f"left a model to {info.task} with, the data set is to {data.manifest.task} with")
        files = data.files(data.rows("val"))[:_LOOKED_AT]
        if info.task == "classify":
            self._check_answers(Reference(folder, info, self._tf_python), files)

    def _check_answers(self, reference: Reference, files: list[Path]) -> None:
        try:
            answers = reference.probabilities(files)
        except ModelyardError:
            raise
        except Exception as error:  # a network that does not take what its own preprocessing makes
            raise self._wrong(f"left a model that does not run ({type(error).__name__}: {shorten(error, 160)})") from error
        shape = (len(files), len(reference.info.labels))
        if answers.shape != shape:
            raise self._wrong(f"left a model that answers {answers.shape} where {shape} is expected")
        if not np.isfinite(answers).all():
            raise self._wrong("left a model whose answers are not all numbers")
        if answers.min() < 0 or np.abs(answers.sum(axis=1) - 1).max() > _SUM:
            raise self._wrong(f"left a model whose answers are no probabilities (a row sums to {answers.sum(axis=1)[0]:.3g})")

    def _wrong(self, why: str) -> ModelyardError:
        return ModelyardError(self._subject, why, _REMEDY)
