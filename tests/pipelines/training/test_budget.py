"""How long is trained: steps for any number of images, the user's epochs where he gives them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.training.trainers.budget import STEPS, plan

COUNTS, BATCHES = st.integers(1, 200_000), st.integers(2, 1024)


@given(COUNTS, BATCHES)
def test_the_default_is_never_a_handful_of_steps(images: int, batch: int) -> None:
    planned = plan(images, None, batch)
    assert planned.steps >= STEPS
    assert planned.steps >= 12 * planned.steps_per_epoch
    assert planned.epochs * planned.steps_per_epoch >= planned.steps
    assert planned.steps / planned.steps_per_report <= 80


@given(COUNTS, st.integers(1, 10_000), BATCHES)
def test_epochs_that_are_given_are_kept(images: int, epochs: int, batch: int) -> None:
    planned = plan(images, epochs, batch)
    assert planned.fixed
    assert planned.epochs == epochs


def test_fourteen_epochs_of_26_images_are_fourteen_steps_and_the_default_is_a_thousand() -> None:
    assert plan(26, 14, 32).steps == 14
    assert plan(26, None, 32).choices() == {"steps": 1000, "epochs": 1000, "batch": 32}
