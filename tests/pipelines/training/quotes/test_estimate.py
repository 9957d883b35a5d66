"""From past timings to an interval that holds what comes."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.job.trainers import KerasTrainer, TorchTrainer, YoloTrainer
from pipelines.training.quotes.estimate import alike, estimate, past_timings
from pipelines.training.quotes.places import Dollars
from pipelines.training.quotes.planned import planned_epochs
from registry.events import Trained
from registry.memory import MemoryEntry, MemoryLedger
from registry.money.prices import local_price
from registry.records import Timing
from registry.settings import Settings

KEY = {"model": "hand", "version": 1, "created_ms": 1, "digest": "d" * 64}


def timing(where: str = "local a", recipe: str = "r", images: int = 100, **fields: float) -> Timing:
    known = {"planned": 10, "epochs": 10, "fixed_s": 5.0, "epoch_s": 2.0}
    return Timing.model_validate({"where": where, "recipe": recipe, "images": images} | known | fields)


def trained(timing: Timing | None, dataset: str = "x") -> Trained:
    fields = {"seconds": 1.0, "hardware": "local: here", "usd": Decimal(1), "price_as_of": "2026-11-01"}
    return Trained(**KEY, trainer="torch", run_id="r", dataset=dataset, timing=timing, **fields)


def past(*rows: Trained):
    ledger = MemoryLedger()
    for row in rows:
        ledger.append(row)
    return past_timings(ledger.entries())


@given(
    fixed=st.floats(0.1, 60),
    each=st.floats(0.01, 5),
    epochs=st.integers(1, 500),
    timed=st.integers(2, 50),
    noise=st.floats(-0.07, 0.07),
)
def test_another_number_of_epochs_of_the_same_training_is_within_the_interval(
    fixed: float, each: float, epochs: int, timed: int, noise: float
) -> None:
    known = timing(planned=timed, epochs=timed, fixed_s=fixed, epoch_s=each)
    span = estimate([known], planned_epochs(TorchTrainer(epochs=epochs), 100, [known]))
    truth = fixed + each * epochs
    assert span.likely == pytest.approx(truth)
    assert span.low <= truth * (1 + noise) <= span.high


@given(images=st.integers(60, 180), grows=st.floats(0, 1), epochs=st.integers(1, 50))
def test_other_images_are_within_the_interval_whether_the_rest_grows_with_them_or_not(
    images: int, grows: float, epochs: int
) -> None:
    known = timing(images=100, fixed_s=20.0, epoch_s=4.0, planned=9, epochs=9)
    span = estimate([known], planned_epochs(TorchTrainer(epochs=epochs), images, [known]))
    steps = -(-images // 32) / -(-100 // 32)
    truth = 20.0 * (1 - grows + grows * images / 100) + 4.0 * steps * epochs
    assert span.low <= truth <= span.high


def test_runs_that_differed_widen_the_interval() -> None:
    epochs = planned_epochs(TorchTrainer(epochs=10), 100)
    steady = estimate([timing(), timing(epoch_s=2.02)], epochs)
    shaky = estimate([timing(), timing(epoch_s=3.0)], epochs)
    assert shaky.high - shaky.low > 2 * (steady.high - steady.low)
    assert shaky.low <= 25
    assert shaky.high >= 35


def test_a_timing_on_a_busy_machine_widens_the_interval() -> None:
    epochs = planned_epochs(TorchTrainer(epochs=10), 100)
    span = estimate([timing(unsteady=0.3)], epochs)
    assert (span.low, span.high) == pytest.approx((25 * 0.7, 25 * 1.3))
    assert estimate([timing(unsteady=9.0)], epochs).low > 0


def test_a_length_that_val_decides_is_an_interval_and_past_runs_say_where_it_ends() -> None:
    unknown = planned_epochs(TorchTrainer(), 26)
    assert (unknown.most, unknown.known) == (1000, False)
    assert 0.4 < unknown.least / unknown.most < 0.5
    often = [timing(images=26, planned=1000, epochs=700), timing(images=26, planned=1000, epochs=740)]
    assert planned_epochs(TorchTrainer(), 26, often).likely == pytest.approx(720)
    early = [timing(images=26, planned=1000, epochs=300)]
    assert planned_epochs(TorchTrainer(), 26, early).least == pytest.approx(300)
    assert planned_epochs(TorchTrainer(epochs=7), 26, often).known
    assert str(unknown).endswith("as val decides")


def test_a_head_alone_has_no_epochs_whatever_was_said() -> None:
    head = timing(planned=0, epochs=0, fixed_s=9.0, epoch_s=0.0)
    epochs = planned_epochs(TorchTrainer(epochs=50, freeze="backbone", weights="imagenet"), 100, [head])
    assert (epochs.most, str(epochs)) == (0, "no epochs")
    assert estimate([head], epochs).likely == 9.0


def test_where_a_head_alone_was_enough_sometimes_the_interval_begins_there() -> None:
    head, both = timing(planned=0, epochs=0, fixed_s=10.0, epoch_s=0.0), timing(fixed_s=12.0, planned=1000, epochs=500)
    epochs = planned_epochs(TorchTrainer(), 26, [head, both])
    assert (epochs.least, epochs.likely, epochs.most) == (0, 250, 1000)
    span = estimate([head.model_copy(update={"images": 26}), both.model_copy(update={"images": 26})], epochs)
    assert span.low < 10
    assert span.high > 12 + 2 * 1000


def test_each_trainer_has_its_own_budget() -> None:
    assert planned_epochs(YoloTrainer(), 32).most == 400
    assert planned_epochs(YoloTrainer(loop="fast"), 32).most == 1000
    assert planned_epochs(KerasTrainer(), 32).most == 500
    assert planned_epochs(TorchTrainer(arch="small_detector"), 32).most == 0
    assert planned_epochs(TorchTrainer(arch="small_detector"), 32, [timing(planned=60, epochs=60)]).most == 60


def test_nothing_timed_is_no_estimate() -> None:
    with pytest.raises(ValueError, match="nothing was timed"):
        estimate([], planned_epochs(TorchTrainer(epochs=1), 10))


def test_only_the_same_recipe_at_the_same_place_on_data_of_like_size_tells() -> None:
    rows = past(
        trained(timing(recipe="other")),
        trained(timing(where="ray a")),
        trained(timing(images=1000)),
        trained(timing(images=90), "y"),
        trained(None),
    )
    assert [row.images for row in alike(rows, "local a", "r", "new", 100)] == [90]
    assert alike(rows, "local a", "r", "new", 10_000) == []
    assert alike(rows, "local b", "r", "new", 100) == []


def test_a_data_set_that_is_in_the_cache_is_quoted_by_runs_that_found_theirs_there() -> None:
    cold, warm = timing(fixed_s=30.0), timing(fixed_s=5.0)
    assert alike(past(trained(cold)), "local a", "r", "x", 100) == []  # the next will be sooner: it is timed anew
    assert alike(past(trained(cold), trained(warm)), "local a", "r", "x", 100) == [warm]
    assert alike(past(trained(cold), trained(warm)), "local a", "r", "new", 100) == [cold]
    pod = timing(where="runpod: A40 x 1")
    assert alike(past(trained(pod)), "runpod: A40 x 1", "r", "x", 100) == [pod]  # nothing is cached there


def test_rows_with_a_flaw_and_of_older_releases_tell_nothing() -> None:
    good = MemoryEntry(1, None, trained(timing()))  # type: ignore[arg-type]
    flawed = MemoryEntry(2, None, trained(timing()), flaw="unsigned")  # type: ignore[arg-type]
    assert len(past_timings([good, flawed])) == 1
    old = trained(None).model_dump(mode="json")
    del old["timing"]
    assert Trained.model_validate(old).timing is None


def test_a_price_is_that_of_the_time_and_never_beyond_a_cap() -> None:
    span = estimate([timing()], planned_epochs(TorchTrainer(epochs=1000), 100))
    price = local_price(Settings(local_usd_per_hour=Decimal(3600)))
    dollars = Dollars.of(span, price)
    assert span.likely == 2005
    assert dollars.low < dollars.likely == 2005 < dollars.high
    capped = Dollars.of(span, price, Decimal(2000))
    assert (capped.likely, capped.high) == (2000, 2000)
