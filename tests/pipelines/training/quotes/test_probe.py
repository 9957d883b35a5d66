"""Two timed epochs tell what a whole training takes, whatever trains, and leave nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from pipelines.data.dataset import DataSet
from pipelines.job.other_trainers import OtherTrainer
from pipelines.job.trainers import TorchTrainer, TrainerConfig
from pipelines.training.quotes.estimate import estimate
from pipelines.training.quotes.planned import planned_epochs
from pipelines.training.quotes.probe import Probe, part_of
from pipelines.training.trainers.cache import ArrayCache
from pipelines.training.trainers.contract import Fitted, Watch
from registry.errors import InputError, ModelyardError


@dataclass
class World:
    """Trainers whose time passes on a clock of their own: by the data set, by the epoch, and after them."""

    start_s: float = 3.0
    image_s: float = 0.05
    step_s: float = 0.1
    report_s: float = 0.3
    end_s: float = 2.0
    frozen: bool = False
    now: float = 0.0
    fits: list[tuple[int, int]] = field(default_factory=list)
    """Images and epochs of each training."""
    caches: list[Path] = field(default_factory=list)

    def make(self, config: TrainerConfig) -> WorldTrainer:
        return WorldTrainer(self, config)

    def whole(self, config: TorchTrainer, images: int) -> float:
        """What a whole training takes."""
        epochs = 0 if self.frozen else planned_epochs(config, images).most
        reports = epochs if config.epochs else min(epochs, 40)
        steps = epochs * -(-images // config.batch)
        return self.start_s + self.image_s * images + self.step_s * steps + self.report_s * reports + self.end_s


@dataclass
class WorldTrainer:
    """One of them. A budget of its own is reported on forty times, as ours is."""

    world: World
    config: TrainerConfig

    def fit(self, data: DataSet, work: Path, watch: Watch) -> Fitted:
        world, images = self.world, len(data.rows("train"))
        assert data.folder.is_dir()
        assert all(path.is_file() for path in data.files(data.manifest.frames))
        assert watch.checkpoints
        assert watch.cache
        world.caches.append(watch.cache)
        (work / "model").mkdir(parents=True)
        world.now += world.start_s + world.image_s * images
        if world.frozen:
            for number in range(1, 5):
                watch.on_epoch(number, {})
        else:
            self._loop(images, watch)
        world.now += world.end_s
        return Fitted(work / "model")

    def _loop(self, images: int, watch: Watch) -> None:
        world, config = self.world, self.config
        epochs = round(planned_epochs(config, images).most)
        every = 1 if getattr(config, "epochs", None) else max(1, round(epochs / 40))
        world.fits.append((images, epochs))
        watch.epochs(epochs)
        for epoch in range(1, epochs + 1):
            world.now += world.step_s * -(-images // config.batch)  # type: ignore[union-attr]
            if epoch % every == 0 or epoch == epochs:
                world.now += world.report_s
                watch.on_epoch(epoch, {})


def quiet(_: str) -> None:
    return


def idle() -> float:
    return 0.0


def larger(data: DataSet, images: int) -> DataSet:
    """The same with so many training images, each file many times."""
    train = data.rows("train")
    rows = [train[index % len(train)] for index in range(images)] + data.rows("val") + data.rows("test")
    return DataSet(data.folder, data.manifest.model_copy(update={"frames": rows}))


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("images", [26, 300, 4000])
@pytest.mark.parametrize("epochs", [1, 3, 50, None])
def test_it_is_within_ten_percent_of_the_whole(
    frozen: bool, images: int, epochs: int | None, dataset: DataSet, tmp_path: Path
) -> None:
    world, data = World(frozen=frozen), larger(dataset, images)
    config = TorchTrainer(epochs=epochs, weights="scratch")
    timing = Probe(world.make, tmp_path / "cache", quiet, lambda: world.now, idle).time(config, data, config.batch)
    planned = planned_epochs(config, images, [timing])
    longest = planned.model_copy(update={"least": planned.most, "likely": planned.most})
    truth = world.whole(config, images)
    assert estimate([timing], longest).likely == pytest.approx(truth, rel=0.1)
    span = estimate([timing], planned)
    assert span.low <= truth <= span.high


def test_a_long_training_is_not_trained_to_be_quoted(dataset: DataSet, tmp_path: Path) -> None:
    world = World(step_s=1.0)
    config = TorchTrainer(epochs=5000)
    Probe(world.make, tmp_path / "cache", quiet, lambda: world.now, idle).time(config, larger(dataset, 64), config.batch)
    assert world.now < 60
    slow = World(step_s=30.0)
    Probe(slow.make, tmp_path / "cache", quiet, lambda: slow.now, idle).time(config, larger(dataset, 64), config.batch)
    assert slow.fits == [(64, 2)]  # an epoch of a minute needs no further look


def test_nothing_is_left_and_the_cache_is_read_but_not_added_to(
    dataset: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch, cache = tmp_path / "scratch", tmp_path / "cache"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    ArrayCache(cache).write("pixels-a", np.zeros(3))

    class Caching(WorldTrainer):
        def fit(self, data: DataSet, work: Path, watch: Watch) -> Fitted:
            fitted = super().fit(data, work, watch)
            assert watch.cache
            assert ArrayCache(watch.cache).read("pixels-a") is not None
            ArrayCache(watch.cache).write("pixels-a", np.ones(3))
            ArrayCache(watch.cache).write("pixels-b", np.ones(3))
            return fitted

    world = World()
    Probe(lambda config: Caching(world, config), cache, quiet, lambda: world.now, idle).time(
        TorchTrainer(epochs=9), dataset, 32
    )
    assert list(scratch.iterdir()) == []
    assert [path.name for path in cache.iterdir()] == ["pixels-a.npy"]
    assert np.array_equal(ArrayCache(cache).read("pixels-a"), np.zeros(3))  # type: ignore[arg-type]


def test_a_trainer_that_fails_fails_the_probe_and_leaves_nothing(
    dataset: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    class Broken:
        def fit(self, *_: object) -> Fitted:
            raise ModelyardError("torch trainer", "broke", "fix it")

    with pytest.raises(ModelyardError, match="broke"):
        Probe(lambda _: Broken(), tmp_path / "cache", quiet).time(TorchTrainer(epochs=9), dataset, 32)
    assert list(tmp_path.iterdir()) == []


def test_another_packages_trainer_that_tells_no_plan_is_timed_by_the_epochs_that_it_was_given(
    dataset: DataSet, tmp_path: Path
) -> None:
    world = World()

    class Silent:
        """Reports each epoch, and never how many there will be."""

        def __init__(self, config: TrainerConfig) -> None:
            self.epochs = int(config.epochs)  # type: ignore[union-attr]

        def fit(self, _data: DataSet, work: Path, watch: Watch) -> Fitted:
            world.now += 5
            for epoch in range(1, self.epochs + 1):
                world.now += 2
                watch.on_epoch(epoch, {})
            return Fitted(work)

    config = OtherTrainer.model_construct(_fields_set=None, kind="colours", epochs=50)
    timing = Probe(Silent, tmp_path / "cache", quiet, lambda: world.now, idle).time(config, dataset, 0)
    assert estimate([timing], planned_epochs(config, 36, [timing])).likely == pytest.approx(105)
    assert world.now < 60


def test_another_packages_trainer_without_epochs_is_said_to_be_known_after_one_run(dataset: DataSet, tmp_path: Path) -> None:
    config = OtherTrainer.model_construct(kind="colours")
    never: Callable[..., WorldTrainer] = lambda _: pytest.fail("nothing was to be trained")  # noqa: E731
    with pytest.raises(InputError, match="no epochs to time; its first run tells"):
        Probe(never, tmp_path, quiet).time(config, dataset, 0)


def test_a_part_of_a_data_set_keeps_its_classes_and_splits(dataset: DataSet, tmp_path: Path) -> None:
    part = part_of(dataset, 6, tmp_path / "part")
    for split in ("train", "val"):
        assert {row.label for row in part.rows(split)} == set(dataset.manifest.labels)
    assert len(part.rows("train")) == 6
    assert part.rows("test") == []
    part.verify()


def test_a_busy_machine_widens_what_it_says(dataset: DataSet, tmp_path: Path) -> None:
    world = World()
    config = TorchTrainer(epochs=9)
    timing = Probe(world.make, tmp_path / "cache", quiet, lambda: world.now, lambda: 2.0).time(config, dataset, 32)
    assert timing.unsteady == pytest.approx(0.3)
