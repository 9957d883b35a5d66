"""`launch: {kind: local}`: a trainer in a child process of this machine.

A child that needs too much memory, is killed or crashes ends by itself: whoever started it says so in one line, books what it
used, and can go on from its last checkpoint. It is told no secret, and it ends with whoever started it, however that ends.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from pipelines.data.dataset import DataSet
from pipelines.job.launch import LocalLaunch
from pipelines.job.trainers import TrainerConfig
from pipelines.training.child import ChildJob, ChildLines
from pipelines.training.trainers.contract import Fitted, Watch
from registry.errors import ModelyardError
from serving.environment import safe_environment
from serving.export.subprocess_job import Bounds, Ties, run_subprocess

LOG = "output.log"
_MORE_MEMORY = "raise `launch: {memory_gb: …}` where there is more, or lower `batch` or `imgsz`"


@dataclass(frozen=True)
class LocalTrainer:
    """A trainer that runs in a child process. `tf_python` is TensorFlow's interpreter."""

    config: TrainerConfig
    launch: LocalLaunch
    tf_python: Path

    def fit(self, data: DataSet, work: Path, watch: Watch) -> Fitted:
        """Train in the child. Its output beside its lines is kept in `output.log` beside its checkpoints.

        Raises the child's own error, and ToolError for one that was killed or crashed.
        """
        into, lines = work.absolute() / "trained", ChildLines(watch)
        into.mkdir(parents=True, exist_ok=True)
        job = ChildJob(
            trainer=self.config,
            data=data.folder.absolute(),
            name=data.name,
            into=into,
            checkpoints=watch.checkpoints.absolute() if watch.checkpoints else None,
            cache=watch.cache.absolute() if watch.cache else None,
            device=self.launch.device,
            tf_python=self.tf_python.absolute(),
        )
        log = watch.checkpoints.parent / LOG if watch.checkpoints else None
        bounds = Bounds(gigabytes=self.launch.memory_gb, more_memory=_MORE_MEMORY)
        command = [sys.executable, "-P", "-m", "pipelines.training.child"]
        ties = Ties(lines.take, environment=safe_environment(), log=log)
        try:
            run_subprocess(command, job.model_dump(mode="json"), f"{self.config.kind} trainer", bounds=bounds, ties=ties)
        except ModelyardError:
            if lines.failure is None:
                raise
        return lines.result(into)
