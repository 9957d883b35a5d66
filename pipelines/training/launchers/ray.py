"""`launch: {kind: ray}`: a trainer whose `fit` is a task of a Ray cluster. MLflow, the ledger and the test split stay here."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipelines.data.dataset import DataSet
from pipelines.job.launch_ray import RayLaunch
from pipelines.job.trainers import TrainerConfig
from pipelines.training.child import ChildLines
from pipelines.training.launchers.ray_cluster import cluster
from pipelines.training.launchers.ray_worker import Shipment, received, train_task
from pipelines.training.launchers.runpod import pack_data
from pipelines.training.metered import Usage
from pipelines.training.trainers.contract import Fitted, Watch
from registry.errors import ModelyardError, UnavailableError, shorten
from registry.money.prices import Price, today

_POLL_S = 0.2


@dataclass(frozen=True)
class RayTrainer:
    """Trains a config on a cluster, on as many cores as the launch says."""

    config: TrainerConfig
    launch: RayLaunch
    tf_python: Path

    def fit(self, data: DataSet, work: Path, watch: Watch) -> Fitted:
        """Train in a worker. A lost worker is said, and the training begins again; an epoch is reported once.

        Raises the trainer's own error, and UnavailableError where workers are lost again and again.
        """
        work.mkdir(parents=True, exist_ok=True)
        archive, job = pack_data(data, self.config, work / "data.tar")
        shipment = Shipment.of(archive, data.name)
        archive.path.unlink()
        lines = _AttemptLines(watch)
        job |= {"launch": worker_launch(self.launch), "tf_python": str(self.tf_python.absolute())}
        with cluster(self.launch.address) as how:
            watch.say(f"Ray: {'a cluster of this machine' if how == 'started' else f'the cluster at {self.launch.address}'}")
            answer = self._run(job, shipment, lines)
        if answer is None:
            return lines.child.result(work)  # raises what went wrong
        into = work / "trained"
        received(answer[0], into)
        lines.take(json.dumps(answer[1]))
        return lines.child.result(into)

    def _run(self, job: dict[str, Any], shipment: Shipment, lines: _AttemptLines) -> Any:
        """Start the task, and pass its lines on until it is done."""
        import ray
        from ray.exceptions import RayError
        from ray.util.queue import Empty, Queue

        queue = Queue(actor_options={"num_cpus": 0})
        task = ray.remote(train_task).options(
            num_cpus=self.launch.cpus, num_gpus=self.launch.gpus, max_retries=self.launch.retries, name=f"{self.config.kind}"
        )
        future = task.remote(job, ray.put(shipment), queue.put)
        done = False
        try:
            while True:
                try:
                    lines.take(queue.get(timeout=_POLL_S))
                except Empty:
                    if done:
                        return ray.get(future)
                    done = bool(ray.wait([future], timeout=0)[0])
        except ModelyardError:
            raise
        except RayError as error:
            why = f"lost this training's worker {self.launch.retries + 1} times ({type(error).__name__})"
            raise UnavailableError("Ray", why, "see the cluster's log; raise `launch: {retries: …}`") from error
        finally:
            if not done:
                ray.cancel(future, force=True)
            queue.shutdown(force=True)


@dataclass(frozen=True)
class PricedRayTrainer(RayTrainer):
    """The same on a cluster of which the job says what it costs: paid by this process's clock at that price."""

    @property
    def price(self) -> Price:
        """What the job says."""
        return cluster_price(self.launch)

    @property
    def used(self) -> Usage | None:
        """Nobody else measures it."""
        return None


class _AttemptLines:
    """A task's lines on their way to a watch: what an attempt repeats of the one before is left out."""

    def __init__(self, watch: Watch) -> None:
        self._watch, self._attempts, self._last = watch, 0, 0
        self.child = ChildLines(replace(watch, on_epoch=self._on_epoch))

    def take(self, line: str) -> None:
        """Take one line."""
        if json.loads(line).get("line") == "attempt":
            self._attempts += 1
            if self._attempts > 1:
                self._watch.say(f"its worker was lost; attempt {self._attempts} begins")
            return
        self.child.take(line)

    def _on_epoch(self, epoch: int, metrics: Any) -> None:
        if epoch > self._last:
            self._last = epoch
            self._watch.on_epoch(epoch, metrics)


def worker_launch(launch: RayLaunch) -> dict[str, Any]:
    """What the worker's child is told."""
    return {"memory_gb": launch.memory_gb, "device": launch.device}


def cluster_price(launch: RayLaunch) -> Price:
    """The price that a job names."""
    return Price(
        provider="ray",
        hardware=shorten(launch.address, 60),
        usd_per_hour=launch.usd_per_hour or Decimal(0),
        billed_seconds=1,
        as_of=today(),
        source="as the job's `launch: {usd_per_hour: …}` says",
    )


def ray_trainer(config: TrainerConfig, launch: RayLaunch, tf_python: Path) -> RayTrainer:
    """What trains a config on a cluster."""
    make = RayTrainer if launch.usd_per_hour is None else PricedRayTrainer
    return make(config, launch, tf_python)
