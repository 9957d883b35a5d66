"""From a trainer's config in the job file to its adapter, which is imported only then."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from pipelines.job.jobfile import Job
from pipelines.job.trainers import KerasTrainer, TorchTrainer, TrainerConfig, YoloTrainer
from pipelines.training.trainers.contract import Trainer
from registry.errors import InputError, NotFoundError, UnavailableError


def build_trainer(config: TrainerConfig, tf_python: Path) -> Trainer:
    """The adapter of a config. `tf_python` is TensorFlow's interpreter. Raises UnavailableError where an extra is missing."""
    if isinstance(config, KerasTrainer):
        from pipelines.training.trainers.keras import KerasAdapter

        if not tf_python.exists():
            remedy = "run `make setup`, or train with `--trainers yolo,torch`"
            raise UnavailableError("TensorFlow world", f"there is nothing at {tf_python}", remedy)
        return KerasAdapter(config, tf_python)
    if isinstance(config, YoloTrainer):
        return _yolo(config)
    return _torch(config)


def choose_trainers(job: Job, kinds: str | None) -> list[TrainerConfig]:
    """The job's trainers, or those of them that a comma-separated list names."""
    if job.task == "detect":
        raise InputError("task 'detect'", "detectors are not trained here yet", "bring one with `modelyard register best.pt`")
    if kinds is None:
        return list(job.train)
    names = [kind.strip() for kind in kinds.split(",") if kind.strip()]
    defaults: dict[str, TrainerConfig] = {"yolo": YoloTrainer(), "torch": TorchTrainer(), "keras": KerasTrainer()}
    for name in names:
        if name not in defaults:
            raise InputError(f"trainer '{name}'", f"expected one of {', '.join(defaults)}", "correct --trainers")
    if not names:
        raise NotFoundError("--trainers", "names no trainer", "for example --trainers yolo,torch")
    return [next((config for config in job.train if config.kind == name), defaults[name]) for name in names]


def _torch(config: TorchTrainer) -> Trainer:
    try:
        from pipelines.training.trainers.torch import TorchAdapter
    except ImportError as error:
        raise _missing_extra("torch", error) from error
    return TorchAdapter(config)


def _yolo(config: YoloTrainer) -> Trainer:
    if find_spec("ultralytics") is None:  # importing it to find out would set it up before it is told to be quiet
        raise _missing_extra("yolo", ImportError(name="ultralytics"))
    from pipelines.training.trainers.yolo import YoloAdapter

    return YoloAdapter(config)


def _missing_extra(name: str, error: ImportError) -> UnavailableError:
    return UnavailableError(f"trainer '{name}'", f"{error.name} is not installed", f"pip install 'modelyard[{name}]'")
