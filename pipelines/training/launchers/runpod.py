"""`launch: {kind: runpod}`: a trainer whose `fit` runs on a pod. MLflow, the ledger and the test split stay here."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec import structs

from pipelines.data.dataset import MANIFEST, DataSet
from pipelines.job.launch_runpod import RunPodLaunch
from pipelines.job.trainers import KerasTrainer, TrainerConfig
from pipelines.training.child import ChildLines
from pipelines.training.launchers.archives import Archive, pack, unpack
from pipelines.training.launchers.pod_agent import DATA
from pipelines.training.launchers.runpod_launch import PodLauncher, Surroundings
from pipelines.training.launchers.runpod_quote import PodQuote, quote_pods
from pipelines.training.launchers.runpod_reaper import Reaper
from pipelines.training.metered import Usage
from pipelines.training.trainers.contract import Fitted, Watch
from registry.errors import DeniedError, InputError, IntegrityError, ModelyardError
from registry.money.prices import Price, today
from registry.settings import Settings
from serving.bundle.modelinfo import read_info, write_info
from serving.targets.runpod.pods import PodClient
from serving.targets.waiting import Clock

TRAVELS = ("train", "val")
"""The splits that a pod sees."""
_WEIGHTS = "weights"
_NO_POD = "runpod: no pod"


class PodTrainer:
    """Trains a config on a pod. It is quoted when it is made, so that what cannot be is said before anything is done."""

    def __init__(self, config: TrainerConfig, launch: RunPodLaunch, world: Surroundings) -> None:
        """Raises InputError for a GPU that there is not or a wrong key, and RefusedError where the cap pays for no pod."""
        if isinstance(config, KerasTrainer):
            raise InputError(
                "trainer 'keras'", "does not run on pods: the image has no TensorFlow", "use `--trainers torch,yolo`"
            )
        self._config, self._launch, self._world = config, launch, world
        self.quote: PodQuote = quote_pods(world.client, launch)
        self._launcher: PodLauncher | None = None

    @property
    def price(self) -> Price:
        """Of the dearest candidate."""
        dearest = max(self.quote.candidates, key=lambda candidate: candidate.usd_per_hour)
        hardware = f"{dearest.gpu} x {self._launch.gpu_count}"
        return Price(
            provider="runpod",
            product="pod",
            hardware=hardware,
            usd_per_hour=dearest.usd_per_hour,
            billed_seconds=1,
            as_of=today(),
            source="RunPod's catalogue, REST v2",
        )

    @property
    def used(self) -> Usage:
        """By the pods' own cost, from before each was asked for until it was gone."""
        if self._launcher is None:
            return Usage(0.0, Decimal(0), _NO_POD)
        meter = self._launcher.meter
        return Usage(meter.seconds, meter.usd, self._launcher.hardware or _NO_POD)

    def fit(self, data: DataSet, work: Path, watch: Watch) -> Fitted:
        """Train on a pod, and fetch the model. Each line of the pod's child reaches the watch as if it trained here.

        Raises what the child raised, CeilingError at the cap, UnavailableError for a pod that was lost or never came, and
        IntegrityError for a model with other bytes than announced, or with a pickle that does harm.
        """
        work.mkdir(parents=True, exist_ok=True)
        lines, into = ChildLines(watch), work / "trained"
        archive, job = pack_data(data, self._config, work / "data.tar")
        self._launcher = launcher = PodLauncher(self._launch, self._world)
        try:
            model = launcher.run(archive, job | {"device": self._launch.device}, work / "model.tar", lines.take)
        except ModelyardError:
            if lines.failure:
                raise lines.failure from None
            raise
        finally:
            archive.path.unlink(missing_ok=True)
        unpack(model, into)
        model.path.unlink()
        _check_scanned(into)
        fitted = lines.result(into)
        _about_all(fitted.folder, data)
        return fitted


def pack_data(data: DataSet, config: TrainerConfig, path: Path) -> tuple[Archive, dict[str, Any]]:
    """The archive that travels, and the child's job: train and val with a manifest of their own, and a file of weights."""
    rows = [row for split in TRAVELS for row in data.rows(split)]
    manifest = data.manifest.model_copy(update={"frames": rows})
    files = list(zip([row.file for row in rows], data.files(rows), strict=True))
    trainer = config.model_dump(mode="json")
    weights = Path(str(trainer.get(_WEIGHTS) or ""))
    if weights.suffix and weights.is_file():  # a name such as `imagenet` is resolved in the pod
        name = f"{_WEIGHTS}/{weights.name}"
        files.append((name, weights))
        trainer[_WEIGHTS] = DATA + name
    archive = pack(path, files, {MANIFEST: json.dumps(manifest.document())})
    return archive, {"trainer": trainer, "name": data.name}


def surroundings(settings: Settings, say: Callable[[str], None]) -> Surroundings:
    """RunPod as the settings name it. Raises DeniedError without a key."""
    if settings.runpod_api_key is None:
        raise DeniedError("RUNPOD_API_KEY", "is not set", "set it to a key of your account")
    client = PodClient(settings.runpod_api_key, settings.runpod_url)
    clock = Clock(time.time)  # the wall's: while a machine sleeps, its pod costs on
    return Surroundings(client, settings.runpod_proxy_url, settings.runpod_url, say, clock)


def reaper_of(settings: Settings) -> Reaper | None:
    """What ends pods that are past their deadline; None without a key."""
    key = settings.runpod_api_key
    return Reaper(PodClient(key, settings.runpod_url), time.time) if key else None


def _about_all(folder: Path, data: DataSet) -> None:
    """The model is the whole data set's, of which the pod saw two splits: evaluation looks for it by that digest."""
    info = read_info(folder, "the pod's model")
    if info.labels != data.manifest.labels:
        raise IntegrityError("the pod's model", "has other labels than the data set", "use the image of this version")
    write_info(folder, structs.replace(info, dataset=data.manifest.digest))


def _check_scanned(folder: Path) -> None:
    from validation.scan import scan_folder

    if dangerous := scan_folder(folder).dangerous:
        raise IntegrityError(dangerous[0], "came from the pod and holds a pickle that does harm", "do not use that image")
