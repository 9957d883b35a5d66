"""A clock that follows a training by its lines tells what an epoch takes, and what is there besides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.job.launch import LocalLaunch
from pipelines.job.launch_ray import RayLaunch
from pipelines.job.launch_runpod import RunPodLaunch
from pipelines.job.trainers import TorchTrainer, YoloTrainer
from pipelines.training.timing import HERE, TrainingClock, recipe_of, where_of
from pipelines.training.trainers.contract import Watch


class Hands:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


@given(
    before=st.floats(0, 60),
    warm_up=st.floats(0, 5),
    each=st.floats(0.01, 20),
    epochs=st.integers(2, 40),
    after=st.floats(0, 30),
)
def test_it_reads_any_training_exactly(before: float, warm_up: float, each: float, epochs: int, after: float) -> None:
    hands = Hands()
    clock = TrainingClock(hands)
    watch = clock.follow(Watch())
    hands.pass_(before)
    for head in range(1, 5):
        watch.on_epoch(head, {})  # a frozen network's head, whose fits are no epochs of a loop
    watch.epochs(4 + epochs)
    hands.pass_(warm_up)
    for epoch in range(1, epochs + 1):
        hands.pass_(each)
        watch.on_epoch(4 + epoch, {})
    hands.pass_(after)
    timing = clock.timing(HERE, "r", 26)
    assert (timing.planned, timing.epochs) == (epochs, epochs)
    assert timing.epoch_s == pytest.approx(each)
    assert timing.fixed_s == pytest.approx(before + warm_up + after, abs=1e-6)


def test_a_training_without_a_loop_is_all_fixed_and_one_report_is_enough_for_a_guess() -> None:
    hands = Hands()
    clock = TrainingClock(hands)
    watch = clock.follow(Watch())
    hands.pass_(7)
    watch.on_epoch(1, {})
    timing = clock.timing(HERE, "r", 26)
    assert (timing.planned, timing.epoch_s, timing.fixed_s) == (0, 0.0, 7.0)
    watch.epochs(11)
    hands.pass_(30)
    watch.on_epoch(11, {})
    assert clock.timing(HERE, "r", 26).epoch_s == pytest.approx(3)


def test_a_training_that_ends_early_says_to_what_share_it_came() -> None:
    hands = Hands()
    clock = TrainingClock(hands)
    watch = clock.follow(Watch())
    watch.epochs(100)
    for epoch in range(1, 61):
        hands.pass_(1)
        watch.on_epoch(epoch, {})
    assert clock.timing(HERE, "r", 26).share == 0.6


def test_a_halved_batch_begins_the_loop_anew_and_the_loss_counts_as_fixed() -> None:
    hands = Hands()
    clock = TrainingClock(hands)
    watch = clock.follow(Watch())
    watch.epochs(10)
    hands.pass_(5)
    watch.epochs(10)
    for epoch in range(1, 11):
        hands.pass_(2)
        watch.on_epoch(epoch, {})
    timing = clock.timing(HERE, "r", 26)
    assert (timing.epochs, timing.epoch_s, timing.fixed_s) == (10, 2.0, 5.0)


def test_what_a_clock_elsewhere_was_paid_for_replaces_the_whole() -> None:
    hands = Hands()
    clock = TrainingClock(hands)
    watch = clock.follow(Watch())
    watch.epochs(2)
    for epoch in (1, 2):
        hands.pass_(10)
        watch.on_epoch(epoch, {})
    assert clock.timing("runpod: A40 x 1", "r", 26, 300.0).fixed_s == 280.0


def test_a_recipe_is_what_the_pace_depends_on() -> None:
    assert recipe_of(TorchTrainer(epochs=3, seed=1, lr0=0.1)) == recipe_of(TorchTrainer(epochs=90))
    assert recipe_of(TorchTrainer(imgsz=64)) != recipe_of(TorchTrainer(imgsz=96))
    assert recipe_of(TorchTrainer(freeze="backbone")) != recipe_of(TorchTrainer())
    assert recipe_of(TorchTrainer(batch=8)) != recipe_of(TorchTrainer())
    assert recipe_of(TorchTrainer()) != recipe_of(YoloTrainer())


def test_places_are_told_apart() -> None:
    pod = RunPodLaunch.model_validate({"image": "i", "gpus": ["NVIDIA A40"], "max_usd": 1})
    places = {where_of(launch) for launch in (LocalLaunch(), RayLaunch(), RayLaunch(cpus=2), RayLaunch(address="h:1"), pod)}
    assert len(places) == 5
    assert where_of(LocalLaunch(memory_gb=4)) == HERE


def test_a_machine_that_slows_down_makes_the_timing_unsteady() -> None:
    hands = Hands()
    clock = TrainingClock(hands)
    watch = clock.follow(Watch())
    watch.epochs(20)
    for epoch in range(1, 21):
        hands.pass_(1 if epoch <= 10 else 2)
        watch.on_epoch(epoch, {})
    assert clock.timing(HERE, "r", 26).unsteady == pytest.approx(0.5, abs=0.06)
    steady = TrainingClock(hands)
    watch = steady.follow(Watch())
    watch.epochs(20)
    for epoch in range(1, 21):
        hands.pass_(1)
        watch.on_epoch(epoch, {})
    assert steady.unsteady == 0
