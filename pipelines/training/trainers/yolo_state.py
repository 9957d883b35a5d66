"""What an Ultralytics training resumes from, and what stops it: our own state file beside its pickles.

Ultralytics resumes from a pickle that also names the folders of the training that it belongs to. Ours holds tensors and
numbers, is opened with `weights_only`, and is written in one step; the best checkpoint so far lies beside it.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.training.trainers.failures import not_finite
from registry.errors import InputError, IntegrityError, shorten
from validation.scan import scan_folder

_STATE, _BEST = "state.pt", "best.pt"
_REMEDY = "train anew with `modelyard train`"
_ALONE = 64
_NO_RETRIES = 3
"""Of Ultralytics' own with half the batch, which nobody is told of."""


class YoloState:
    """Follows one training: keeps its state after each epoch, restores it at the start, and stops a loss that is no number.

    `names` are the training pictures' files, by the number under which Ultralytics was given them.
    """

    def __init__(self, folder: Path | None, names: Sequence[str]) -> None:
        """Use a folder that outlives the process; None: nothing is kept."""
        self._folder, self.names = folder, names
        self._state = self._read()
        self._batch, self._step, self._fresh = list[str](), 0, False

    @property
    def epoch(self) -> int:
        """After how many epochs the training goes on."""
        return int(self._state["epoch"]) if self._state else 0

    @property
    def ended(self) -> bool:
        """Whether no epoch is left to train."""
        return bool(self._state and self._state["ended"])

    def best(self) -> Path | None:
        """The best checkpoint so far, looked at before anybody opens it: it is Ultralytics' pickle."""
        path = self._folder / _BEST if self._folder else None
        if path is None or not path.is_file():
            return None
        if scan_folder(path.parent).dangerous:
            raise IntegrityError(path, "holds code that runs when it is opened", "do not use it, and train anew")
        return path

    def follow(self, model: Any) -> None:
        """Be called by a model's training. Added after what reports an epoch, so that one that is kept was reported."""
        model.add_callback("on_train_start", self._start)
        model.add_callback("on_train_epoch_start", _leave_memory_to_us)
        model.add_callback("on_train_batch_end", self._check)
        model.add_callback("on_train_epoch_end", self._trained)
        model.add_callback("on_fit_epoch_end", self._keep)

    def _start(self, trainer: Any) -> None:
        preprocess, dataset, seen = trainer.preprocess_batch, trainer.train_loader.dataset, _Seen(())
        if hasattr(dataset, "samples"):  # a classifier's batches do not say which pictures they are
            dataset.samples = seen = _Seen(dataset.samples)

        def remember(batch: Any) -> Any:
            self._batch = list(batch.get("im_file") or seen.taken())
            return preprocess(batch)

        trainer.preprocess_batch = remember
        self._step = 0
        if self._state:
            self._restore(trainer, self._state)

    def _restore(self, trainer: Any, state: dict[str, Any]) -> None:
        trainer.model.load_state_dict(state["model"])
        trainer.ema.ema.load_state_dict(state["ema"])
        trainer.ema.updates = state["updates"]
        trainer.optimizer.load_state_dict(state["optimizer"])
        trainer.scaler.load_state_dict(state["scaler"])
        trainer.best_fitness = state["best_fitness"]
        trainer.stopper.best_fitness, trainer.stopper.best_epoch = state["stopper"]
        trainer.start_epoch, trainer.scheduler.last_epoch = state["epoch"], state["epoch"] - 1
        self._step = state["epoch"] * len(trainer.train_loader)
        torch.set_rng_state(state["random"])
        if "chances" in state:  # an older release did not keep them
            _restore_chances(trainer, state["chances"])
        if best := self.best():
            shutil.copy2(best, trainer.best)

    def _check(self, trainer: Any) -> None:
        self._step += 1
        if not torch.isfinite(trainer.loss):
            raise not_finite(self._step, [self._named(file) for file in self._batch], float(trainer.loss.detach()))

    def _trained(self, _: Any) -> None:
        self._fresh = True

    def _named(self, file: str) -> str:
        """A picture as the data set calls it."""
        number = Path(file).stem
        return self.names[int(number)] if number.isdigit() and int(number) < len(self.names) else file

    def _keep(self, trainer: Any) -> None:
        """After each epoch; Ultralytics calls once more at the end, for the best weights."""
        if self._folder is None or not self._fresh:
            return
        state = {
            "epoch": trainer.epoch + 1,
            "model": trainer.model.state_dict(),
            "ema": trainer.ema.ema.state_dict(),
            "updates": int(trainer.ema.updates),
            "optimizer": trainer.optimizer.state_dict(),
            "scaler": trainer.scaler.state_dict(),
            "best_fitness": float(trainer.best_fitness or 0.0),
            "stopper": (float(trainer.stopper.best_fitness or 0.0), int(trainer.stopper.best_epoch)),
            "random": torch.get_rng_state(),
            "chances": _chances(trainer),
            "ended": bool(trainer.stop),
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        if trainer.best.exists():
            _replace(self._folder / _BEST, lambda path: shutil.copy2(trainer.best, path))
        _replace(self._folder / _STATE, lambda path: torch.save(state, path))
        self._fresh = False

    def _read(self) -> dict[str, Any] | None:
        path = self._folder / _STATE if self._folder else None
        if path is None or not path.is_file():
            return None
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # an unpickler raises whatever a damaged file happens to hit
            raise IntegrityError(path, f"is damaged ({shorten(error, 100)})", _REMEDY) from error


def whole_batch(images: int, batch: int, size: int) -> int:
    """The batch, or the nearest that leaves no picture alone: of one below 64 pixels Ultralytics' batch norm sees one number.

    Raises InputError where there is but one picture.
    """
    if size >= _ALONE:
        return batch
    if images < 2:  # noqa: PLR2004 nothing to be told apart from
        raise InputError("the train split", f"has one picture, too few at imgsz {size}", "add pictures, or set `imgsz: 64`")
    tried = [*range(batch, 1, -1), *range(batch, images + 1)]
    return next(count for count in tried if images % min(count, images) != 1)


def _leave_memory_to_us(trainer: Any) -> None:
    """Have an error of memory raised: `failures.halving` begins anew with half the batch, and says so."""
    trainer._oom_retries = _NO_RETRIES  # noqa: SLF001


def _chances(trainer: Any) -> dict[str, Any]:
    """What Ultralytics varies pictures by and shuffles them with, besides torch's own generator."""
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 Ultralytics uses it
    numpys = (kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest)
    return {"python": random.getstate(), "numpy": numpys, "loader": trainer.train_loader.generator.get_state()}


def _restore_chances(trainer: Any, state: dict[str, Any]) -> None:
    """So that an interrupted training does not see the views and the order of its first epochs again."""
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    random.setstate(state["python"])
    trainer.train_loader.generator.set_state(state["loader"])


class _Seen(list[Any]):
    """A list that remembers which of its items were asked for: Ultralytics' pictures of one batch."""

    def __init__(self, items: Sequence[Any]) -> None:
        super().__init__(items)
        self._taken = list[str]()

    def __getitem__(self, index: Any) -> Any:
        item = super().__getitem__(index)
        if isinstance(index, int):
            self._taken.append(str(item[0]))
        return item

    def taken(self) -> list[str]:
        """The files since the last time."""
        files, self._taken = self._taken, []
        return files


def _replace(path: Path, write: Any) -> None:
    """Write a file of this process's own, whole or not at all."""
    beside = path.with_name(f".{path.name}")
    write(beside)
    beside.replace(path)
