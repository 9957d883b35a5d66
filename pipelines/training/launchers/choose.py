"""From a trainer's config and the job's `launch:` to what trains it there."""

from __future__ import annotations

from pathlib import Path

from pipelines.job.launch import LocalLaunch
from pipelines.job.trainers import TrainerConfig
from pipelines.training.launchers.local import LocalTrainer
from pipelines.training.trainers.build import check_installed
from pipelines.training.trainers.contract import Trainer


def launched(config: TrainerConfig, launch: LocalLaunch, tf_python: Path) -> Trainer:
    """What trains a config where the job says. `tf_python` is TensorFlow's interpreter.

    Raises UnavailableError where an extra is missing, and InputError for a device that is asked for and not here.
    """
    check_installed(config, tf_python)
    if launch.device in {"cuda", "mps"} and config.kind != "keras":
        from pipelines.training.trainers.devices import check_device

        check_device(launch.device)
    return LocalTrainer(config, launch, tf_python)
