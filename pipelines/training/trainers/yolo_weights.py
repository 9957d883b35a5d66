"""What a `yolo` training begins from: a new network, Ultralytics' own weights where the network allows, or a file of them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.data.dataset import DataSet
from pipelines.job.trainers import YoloTrainer
from pipelines.training.trainers.budget import Plan
from pipelines.training.trainers.checkpoint import open_checkpoint
from pipelines.training.trainers.offline import ultralytics
from pipelines.training.trainers.views import neutral_names
from registry.digests import sha256_file
from registry.errors import InputError, IntegrityError, NotFoundError, UnavailableError, shorten
from serving.bundle.preprocess import Preprocess
from validation.scan import scan_folder

_RELEASE = "https://github.com/ultralytics/assets/releases/download/v8.4.0"
_LEAST_MATCHING = 0.8


@dataclass(frozen=True, slots=True)
class YoloTraining:
    """One training: its config, an Ultralytics model that holds the weights to begin from, and the data as it will see them."""

    config: YoloTrainer
    model: Any
    data: DataSet
    preprocess: Preprocess
    planned: Plan
    work: Path


def begin(config: YoloTrainer, classes: int, work: Path) -> tuple[Any, str]:
    """An Ultralytics classifier of so many classes, and what its weights are called.

    `auto` and `scratch` are a new network: no package brings YOLO's weights. A `.pt` file is a pickle: it is scanned, and only
    one that you trust belongs into a job file. Raises InputError, IntegrityError, NotFoundError or UnavailableError.
    """
    model = ultralytics(work)(f"{config.arch}.yaml", task="classify", verbose=False)
    from ultralytics.nn.tasks import ClassificationModel

    ClassificationModel.reshape_outputs(model.model, classes)
    model.model.names = dict(enumerate(neutral_names([str(index) for index in range(classes)])))
    if config.weights in {"auto", "scratch"}:
        if config.freeze == "backbone":
            raise InputError("freeze: backbone", "keeps weights that have learnt nothing", "give `weights:` of the trainer too")
        return model, "scratch"
    fetched = config.weights == "imagenet"
    source = fetch_released(config.arch, work) if fetched else Path(config.weights)
    digest = checked_copy(source, config.weights_sha256, work)
    opened = open_checkpoint(work / "weights" / source.name, work, source)
    _transfer(opened, model, source)
    return model, "imagenet" if fetched else f"{source.name} (sha256 {digest[:12]})"


def checked_copy(source: Path, pinned: str | None, work: Path) -> str:
    """Copy the file into a folder of its own, scan it there, and return its digest."""
    if not source.is_file():
        raise NotFoundError(source, "is no file of weights", "give `imagenet`, `scratch`, or the path of a .pt file")
    digest = sha256_file(source)
    if pinned and digest != pinned:
        raise IntegrityError(source, f"has the digest {digest}, the job pins {pinned}", "bring the file that was pinned")
    folder = work / "weights"
    folder.mkdir(exist_ok=True)
    if (folder / source.name) != source:
        shutil.copy2(source, folder / source.name)
    if scan_folder(folder).dangerous:
        raise IntegrityError(source, "holds code that runs when it is opened", "do not use it")
    return digest


def _transfer(opened: Any, model: Any, source: Path) -> None:
    """Load what fits; a head of other classes does not."""
    model.model.load_state_dict(fitting_tensors(opened, model, source), strict=False)
    model.ckpt, model.overrides["pretrained"] = {"model": model.model}, True  # else `train` builds the network anew


def fitting_tensors(opened: Any, model: Any, source: Path) -> dict[str, Any]:
    """The tensors of a checkpoint that fit a network by name and shape. Raises InputError where it is another's."""
    given, wanted = opened.model.float().state_dict(), model.model.state_dict()
    kept = {name: tensor for name, tensor in given.items() if name in wanted and wanted[name].shape == tensor.shape}
    if len(kept) < _LEAST_MATCHING * len(wanted):
        why = f"fits {len(kept)} of the {len(wanted)} tensors of the network"
        raise InputError(source, why, "give the weights of this architecture, or correct `arch:`")
    return kept


def fetch_released(arch: str, work: Path) -> Path:
    """Ultralytics' released weights."""
    import httpx

    target = work / "weights" / f"{arch}.pt"
    target.parent.mkdir(exist_ok=True)
    try:
        with httpx.stream("GET", f"{_RELEASE}/{arch}.pt", follow_redirects=True, timeout=30) as answer:
            answer.raise_for_status()
            with target.open("wb") as file:
                for part in answer.iter_bytes():
                    file.write(part)
    except (httpx.HTTPError, OSError) as error:
        why = f"cannot be fetched ({type(error).__name__}: {shorten(error, 100)})"
        raise UnavailableError(f"weights 'imagenet' of '{arch}'", why, "give a .pt file, or `weights: scratch`") from error
    return target
