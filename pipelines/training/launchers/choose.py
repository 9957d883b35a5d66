"""From a trainer's config and the job's `launch:` to what trains it there."""

from __future__ import annotations

from collections.abc import Callable

from pipelines.job.launch import LocalLaunch
from pipelines.job.launch_ray import RayLaunch
from pipelines.job.launch_runpod import RunPodLaunch
from pipelines.job.trainers import TrainerConfig
from pipelines.training.launchers.local import LocalTrainer
from pipelines.training.trainers.build import check_installed
from pipelines.training.trainers.contract import Trainer
from registry.settings import Settings


def launched(
    config: TrainerConfig, launch: LocalLaunch | RayLaunch | RunPodLaunch, settings: Settings, say: Callable[[str], None]
) -> Trainer:
    """What trains a config where the job says.

    Raises UnavailableError where an extra is missing, InputError for a device or a GPU that is asked for and not there, and
    RefusedError where a cap does not pay for it.
    """
    if isinstance(launch, RunPodLaunch):
        from pipelines.training.launchers.runpod import PodTrainer, surroundings

        return PodTrainer(config, launch, surroundings(settings, say))
    tf_python = settings.tf_python
    if isinstance(launch, RayLaunch):
        from pipelines.training.launchers.ray_cluster import check_ray

        check_ray()
        if launch.address == "local":
            check_installed(config, tf_python)
        from pipelines.training.launchers.ray import ray_trainer

        return ray_trainer(config, launch, tf_python)
    check_installed(config, tf_python)
    if launch.device in {"cuda", "mps"} and config.kind != "keras":
        from pipelines.training.trainers.devices import check_device

        check_device(launch.device)
    return LocalTrainer(config, launch, tf_python)
