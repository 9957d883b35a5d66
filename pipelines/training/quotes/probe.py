"""Two timed epochs: the real trainer on the real data set for a few epochs, in a folder that is removed.

Twice, because one run cannot tell both how long everything around the epochs takes and how long an epoch takes that is planned
as it will be: first two epochs to the end, then the config as it is, ended after some seconds of its loop. Large data sets are
timed on two parts of themselves, and what grows with the images is drawn on from there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.data.dataset import MANIFEST, DataSet, FrameRow
from pipelines.job.other_trainers import OtherTrainer
from pipelines.job.trainers import TrainerConfig
from pipelines.training.timing import HERE, TrainingClock, epochs_given, recipe_of, untold_epochs
from pipelines.training.trainers.contract import Trainer, Watch
from registry.errors import InputError
from registry.files import write_json
from registry.records import Timing

EPOCHS = 2
_LARGE = 800
"""Training images beyond which only parts of a data set are timed."""
_PARTS = (320, 640)
"""Both large enough that no image is looked at more than once for its features."""
_LOOK_S = 4.0
"""Of a loop: its epochs are read from no less, unless it ends before."""
_LEAST_EPOCHS = 12
"""Of any budget, however many images there are."""
_SLOW_S = 5.0
"""An epoch that takes as long needs no further look."""
_BY_LOAD = 0.15
"""By which share a figure may be off for each time over that the cores are wanted."""
_MATTERS = 0.04
"""The share of all that a loop must be expected to take before it is worth a look of its own."""

MakeTrainer = Callable[[TrainerConfig], Trainer]


def load_beyond() -> float:
    """How many times over this machine's cores are wanted by what runs already: 0 where there is room."""
    try:
        return max(0.0, os.getloadavg()[0] / (os.cpu_count() or 1) - 1)
    except OSError:
        return 0.0


class _SeenEnoughError(Exception):
    """Ends a training whose epochs were timed."""


@dataclass(frozen=True)
class Probe:
    """Times trainers on this machine. `cache` is the home's: what is in it is used, and nothing is added to it."""

    make: MakeTrainer
    cache: Path
    say: Callable[[str], None]
    now: Callable[[], float] = time.monotonic
    busy: Callable[[], float] = load_beyond

    def time(self, config: TrainerConfig, data: DataSet, batch: int) -> Timing:
        """A timing as a whole training would leave it. Raises what the trainer raises, or that it has no epochs."""
        images, busy = len(data.rows("train")), self.busy()
        timing = self._timed(config, data, images, batch)
        busy = max(busy, self.busy())  # the load is a mean over the minute before: work that came meanwhile shows now
        return timing.model_copy(update={"unsteady": max(timing.unsteady, _BY_LOAD * busy)})

    def _timed(self, config: TrainerConfig, data: DataSet, images: int, batch: int) -> Timing:
        short = shortened(config)
        with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
            root = Path(scratch)
            if images <= _LARGE:
                return self._both(config, short, data, root)
            self.say(f"{config.kind}: timing parts of {_PARTS[0]} and {_PARTS[1]} of {images} training images")
            parts = [part_of(data, number, root / f"part{number}") for number in _PARTS]
            timings = [self._both(config, short, part, root / f"of{index}") for index, part in enumerate(parts)]
            return drawn_on(timings[0], timings[1], images, batch)

    def _both(self, config: TrainerConfig, short: TrainerConfig, data: DataSet, root: Path) -> Timing:
        """The timing of one data set: the short training to its end, and a look at the loop as it is planned."""
        root.mkdir(exist_ok=True)
        cache = _linked(self.cache, root / "cache")
        self.say(f"{config.kind}: timing {EPOCHS} epochs on {len(data.rows('train'))} training images")
        whole = self._run(short, data, (root / "whole", cache), None)
        timing = whole.timing(HERE, recipe_of(config), len(data.rows("train")))
        given = epochs_given(config)
        expected = (given or timing.planned) * timing.epoch_s
        if not timing.planned:
            return timing
        if given and expected < _MATTERS * timing.fixed_s:
            return timing.model_copy(update={"planned": given, "epochs": 0})
        slow = timing.epoch_s > _SLOW_S
        if slow and given:
            return timing.model_copy(update={"planned": given, "epochs": 0})
        look = self._run(config, data, (root / "look", cache), (1, 0.0) if slow else (EPOCHS + 1, _LOOK_S))
        each = look.epoch_s if look.reports > 1 else timing.epoch_s
        fields = {"planned": look.planned or given or 0, "epochs": 0, "epoch_s": each, "unsteady": look.unsteady}
        return timing.model_copy(update=fields)

    def _run(
        self, config: TrainerConfig, data: DataSet, folders: tuple[Path, Path], look: tuple[int, float] | None
    ) -> TrainingClock:
        """One training in a folder, to its end, or until its loop has made some reports and taken some seconds; its clock."""
        work, cache = folders
        (work / "checkpoints").mkdir(parents=True)
        clock = TrainingClock(self.now, untold_epochs(config))

        def enough(_epoch: int, _metrics: Mapping[str, float]) -> None:
            if look is not None and clock.reports >= look[0] and clock.looped_s >= look[1]:
                raise _SeenEnoughError

        watch = clock.follow(Watch(on_epoch=enough, checkpoints=work / "checkpoints", cache=cache))
        with suppress(_SeenEnoughError):
            self.make(config).fit(data, work, watch)
            clock.end()
        shutil.rmtree(work, ignore_errors=True)
        return clock


def shortened(config: TrainerConfig) -> TrainerConfig:
    """The same for two epochs. Raises InputError for another package's trainer that knows no epochs."""
    if isinstance(config, OtherTrainer) and not epochs_given(config):
        raise InputError(f"trainer '{config.kind}'", "has no epochs to time", "its first run tells how long it takes")
    return config.model_copy(update={"epochs": min(EPOCHS, epochs_given(config) or EPOCHS)})


def drawn_on(small: Timing, large: Timing, images: int, batch: int) -> Timing:
    """The timing of so many images, from those of two parts: what grows between the two goes on to grow like that."""
    steps = [max(1, -(-number // batch)) if batch else number for number in (small.images, large.images, images)]
    fixed_s = _line((small.images, small.fixed_s), (large.images, large.fixed_s), images)
    epoch_s = _line((steps[0], small.epoch_s), (steps[1], large.epoch_s), steps[2])
    planned = max(_LEAST_EPOCHS, round(large.planned * steps[1] / steps[2])) if large.planned else 0
    return large.model_copy(update={"images": images, "fixed_s": fixed_s, "epoch_s": epoch_s, "planned": planned})


def _line(first: tuple[int, float], second: tuple[int, float], at: int) -> float:
    """Where the line through two points is; level where it would fall."""
    (x0, y0), (x1, y1) = first, second
    return y1 + max(0.0, y1 - y0) * (at - x1) / max(1, x1 - x0)


def part_of(data: DataSet, images: int, folder: Path) -> DataSet:
    """Every so many-th training and validation image of each class, in a folder of its own. Test images are left out."""
    share = images / len(data.rows("train"))
    rows = list[FrameRow]()
    for split in ("train", "val"):
        for label in data.manifest.labels:
            mine = [row for row in data.rows(split) if label in row.labels[:1]]
            wanted = max(1, round(share * len(mine))) if mine else 0
            rows += [mine[index * len(mine) // wanted] for index in range(wanted)]
    part = replace(data, folder=folder, manifest=data.manifest.model_copy(update={"frames": rows}))
    for row in rows:
        (folder / row.file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(data.folder / row.file, folder / row.file)
    write_json(folder / MANIFEST, part.manifest.document())
    return part


def _linked(cache: Path, folder: Path) -> Path:
    """A folder with what is in the cache, which is then not written to: arrays are replaced, never changed."""
    folder.mkdir()
    for path in cache.glob("*.npy"):
        with suppress(OSError):  # another file system: what is not there is made again
            os.link(path, folder / path.name)
    return folder
