"""From a path of a foreign model to one of our own folders, held to the file's own answers before anybody registers it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.data.dataset import DataSet
from pipelines.training.foreign.contract import About, ForeignModel
from pipelines.training.foreign.decide import Case, Decided, decide
from pipelines.training.foreign.keras_file import KerasFile, World
from pipelines.training.foreign.options import KNOWN, Options
from pipelines.training.foreign.recognise import Kind
from registry.errors import IntegrityError, missing_extra
from serving.bundle.modelinfo import ModelInfo, write_info
from serving.export.reference import Answers, Reference
from validation.scan import scan_folder

if TYPE_CHECKING:
    from pipelines.home import Say

_SAME, _AGREEMENT = 5e-3, 0.98
"""Half-precision inputs round; whole layouts and normalisations that are wrong differ by far more."""


@dataclass(frozen=True, slots=True)
class Brought:
    """A model's folder, what describes it, and what is worth knowing of how it came about, for its run."""

    folder: Path
    info: ModelInfo
    params: dict[str, str]


@dataclass(frozen=True)
class Bringer:
    """Brings models. `work` is a scratch folder; `world` is where Keras runs."""

    work: Path
    world: World
    options: Options
    say: Say

    def bring(self, kind: Kind, path: Path, data: DataSet, subject: str) -> Brought:
        """Open, ask, decide, write and compare. Raises a ModelyardError for anything that is not as it should be."""
        model, about = self._open(kind, path, subject)
        return self.package(model, about, data, subject)

    def package(self, model: ForeignModel, about: About, data: DataSet, subject: str) -> Brought:
        """The same for a model that is open."""
        case = Case(subject, self.say)
        decided = decide(model, about, self.options, data, case)
        self.say(f"{about.arch}: a classifier of {', '.join(decided.info.labels)} at {decided.info.preprocess.size} px")
        folder = self.work / "model"
        info = model.package(folder, decided.info, decided.head)
        write_info(folder, info)
        if dangerous := scan_folder(folder).dangerous:
            raise IntegrityError(subject, f"makes a dangerous file: {dangerous[0]}", "do not use it")
        answers = Reference(folder, info, self.world.python).probabilities(decided.files)
        self.say(_compare(answers, decided, subject))
        self._compare_with_processor(model, answers, decided)
        head = decided.head
        params = {"normalise": head.normalise.name, "mean": str(head.normalise.mean), "std": str(head.normalise.std)}
        params |= {"outputs": "logits" if head.softmax else "probabilities", "framework": info.framework}
        return Brought(folder, info, params)

    def _open(self, kind: Kind, path: Path, subject: str) -> tuple[ForeignModel, About]:
        """The opened model, and what its file says, with what is said around it."""
        if kind == "mlflow":
            from pipelines.training.foreign.mlflow_model import read_flavor

            flavor = read_flavor(path, self.work, subject)
            model, about = self._open(flavor.kind, flavor.path, subject)
            about = replace(about, labels=about.labels or flavor.labels)
            if flavor.info:  # one of ours, of another home: it says everything
                preprocess = replace(flavor.info.preprocess, layout="NCHW")
                about = replace(about, arch=flavor.info.arch, preprocess=preprocess, normalise=KNOWN["0..1"], size=None)
            return model, about
        model = self._open_file(kind, path, subject)
        return model, model.about

    def _open_file(self, kind: Kind, path: Path, subject: str) -> ForeignModel:
        if kind == "keras":
            return KerasFile(path, self.world, self.work, subject)
        from pipelines.training.foreign.onnx_model import OnnxModel

        if kind == "onnx":
            return OnnxModel(path, self.options.layout, subject)
        try:
            from pipelines.training.foreign.torch_program import TorchProgram
        except ModuleNotFoundError as error:
            raise missing_extra("torch", subject) from error
        if kind == "hugging_face":
            from pipelines.training.foreign.hugging_face import HuggingFaceModel

            return HuggingFaceModel(path, self.work, subject)
        program = TorchProgram(path, self.options.layout, subject)
        if program.batch == 0:
            return program
        self.say(f"it was exported for a batch of {program.batch}: it goes through ONNX, where any batch can be set")
        return OnnxModel(program.as_onnx(self.work / f"{path.stem}.onnx"), self.options.layout, subject)

    def _compare_with_processor(self, model: ForeignModel, answers: Answers, decided: Decided) -> None:
        """A Hugging Face model is also held to its own processor."""
        compare = getattr(model, "compare", None)
        if compare is not None:
            self.say(compare(answers, decided.files, decided.head))


def _compare(ours: Answers, decided: Decided, subject: str) -> str:
    """Hold the written model to its file's answers; the control is each next picture's answer."""
    theirs = decided.answers
    agreement = float((ours.argmax(1) == theirs.argmax(1)).mean())
    difference = float(np.abs(ours - theirs).max())
    control = float(np.abs(ours - np.roll(theirs, 1, axis=0)).max())
    if difference > _SAME or agreement < _AGREEMENT:
        why = f"answers otherwise once it is written as ours (agreement {agreement:.3f}, difference {difference:.2g})"
        raise IntegrityError(subject, why, "report it with the file")
    return (
        f"as written it answers like its file on {len(ours)} pictures: agreement {agreement:.3f}, largest difference "
        f"{difference:.1e} (of another picture's answer: {control:.1e})"
    )
