"""From a trainer's config in the job file to its adapter, which is imported only then."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from pipelines.job.jobfile import Job
from pipelines.job.launch import LocalLaunch
from pipelines.job.other_trainers import OtherTrainer, default_config, installed, trainer_class
from pipelines.job.search import other_networks
from pipelines.job.tasks import DETECTORS, is_detector
from pipelines.job.trainers import KerasTrainer, TorchTrainer, TrainerConfig, YoloTrainer
from pipelines.training.trainers.contract import Trainer
from registry.errors import InputError, NotFoundError, UnavailableError, missing_extra

_PACKAGES = {"torch": ("torch", "torchvision", "timm"), "yolo": ("ultralytics", "torch", "torchvision")}


def check_installed(config: TrainerConfig, tf_python: Path) -> None:
    """Raise UnavailableError where what a trainer needs is not installed. Nothing is imported to find out.

    Except another package's trainer, which is loaded. `tf_python` is TensorFlow's interpreter.
    """
    if isinstance(config, KerasTrainer) and not tf_python.exists():
        remedy = "run `make setup` in a source checkout, set MODELYARD_TF_PYTHON, or train with `--trainers yolo,torch`"
        raise UnavailableError("TensorFlow world", f"there is nothing at {tf_python}", remedy)
    if isinstance(config, OtherTrainer):
        trainer_class(config.kind)
    for package in _PACKAGES.get(config.kind, ()):
        if find_spec(package) is None:
            raise missing_extra(package, f"trainer '{config.kind}'")


def build_trainer(config: TrainerConfig, tf_python: Path) -> Trainer:
    """The adapter of a config. `tf_python` is TensorFlow's interpreter. Raises UnavailableError where an extra is missing."""
    check_installed(config, tf_python)
    if isinstance(config, OtherTrainer):
        from pipelines.training.trainers.plugins import PluginAdapter

        return PluginAdapter(config, tf_python)
    if isinstance(config, KerasTrainer):
        from pipelines.training.trainers.keras import KerasAdapter

        return KerasAdapter(config, tf_python)
    if is_detector(config):
        return _detector_trainer(config)
    if isinstance(config, YoloTrainer):
        from pipelines.training.trainers.yolo import YoloAdapter

        return YoloAdapter(config)
    from pipelines.training.trainers.torch import TorchAdapter
    from pipelines.training.trainers.torch_networks import check_arch

    check_arch(config.arch, config.imgsz)
    return TorchAdapter(config)


_OFFERED = {"auto", "small_cnn", "efficientnet_lite0", "yolov8n-cls", *DETECTORS.values()}
"""Architectures that are known without asking a framework, which takes seconds to import."""


def check_networks(job: Job, configs: Iterable[TrainerConfig], tf_python: Path) -> None:
    """Raise what building a trainer raises: InputError for an architecture that is unknown or cannot take such images.

    For before anything is trained: the second trainer's typing error, or a search's, is not to cost the first one's time.
    Elsewhere than on this machine other packages may be installed, and nothing is said of those.
    """
    if not isinstance(job.launch, LocalLaunch):
        return
    every = [each for config in configs for each in (config, *other_networks(job.search, config))]
    for config in every:
        if isinstance(config, (TorchTrainer, YoloTrainer)) and (config.arch not in _OFFERED or config.imgsz):
            build_trainer(config, tf_python)


def _detector_trainer(config: TrainerConfig) -> Trainer:
    if isinstance(config, YoloTrainer):
        from pipelines.training.trainers.yolo_detect import YoloDetectAdapter

        return YoloDetectAdapter(config)
    from pipelines.training.trainers.torch_detect import TorchDetectAdapter

    return TorchDetectAdapter(cast("TorchTrainer", config))  # the only other kind that makes detectors


def choose_trainers(job: Job, kinds: str | None) -> list[TrainerConfig]:
    """The job's trainers, or those of them that a comma-separated list names."""
    if kinds is None:
        if not job.train:
            remedy = "add a trainer to `train:`, name one with --trainers, or bring a model with `modelyard register`"
            raise InputError("train:", "the job names no trainer", remedy)
        return list(job.train)
    names = [kind.strip() for kind in kinds.split(",") if kind.strip()]
    defaults: dict[str, TrainerConfig] = {"yolo": YoloTrainer(), "torch": TorchTrainer(), "keras": KerasTrainer()}
    if job.task == "detect":
        defaults = {"yolo": YoloTrainer(arch=DETECTORS["yolo"]), "torch": TorchTrainer(arch=DETECTORS["torch"])}
    listed = {config.kind for config in job.train}
    for name in names:
        if name in defaults or name in listed:
            continue
        if name not in (others := installed()):
            raise InputError(f"trainer '{name}'", f"expected one of {', '.join([*defaults, *others])}", "correct --trainers")
        defaults[name] = default_config(name)
    if not names:
        raise NotFoundError("--trainers", "names no trainer", "for example --trainers yolo,torch")
    own = {name: [config for config in job.train if config.kind == name] for name in names}
    return [config for name in names for config in own[name] or [defaults[name]]]
