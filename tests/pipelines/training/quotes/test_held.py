"""A job's trainings hold what they are quoted at, less each as it is booked, and nothing once the job has ended."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet
from pipelines.home import Home
from pipelines.identity import whoami
from pipelines.job.jobfile import Job, parse_job
from pipelines.money.budgets import set_person_budget, standing_of
from pipelines.money.holds import release_ended
from pipelines.training.held import UNKNOWN_S, JobHolder
from pipelines.training.interrupted import has_ended, process_mark
from pipelines.training.job import TrainingJob
from pipelines.training.timing import HERE, recipe_of
from registry.errors import RefusedError
from registry.events import Trained, now
from registry.memory import MemoryLedger
from registry.records import Actor, Timing
from registry.settings import Settings
from registry.spending import BudgetHeld

ADA = Actor("ada")
KEY = {"model": "hand", "version": 1, "created_ms": 1, "digest": "d" * 64}


def job_of(budget: str = "100", **fields: object) -> Job:
    trainers = [{"kind": "torch", "epochs": 10}, {"kind": "keras", "epochs": 10}]
    return parse_job({"model": "hand", "train": trainers, "budget": {"usd_per_month": budget}} | fields, "job")


def knows(ledger: MemoryLedger, job: Job, data: DataSet) -> None:
    """Each of the job's trainers has run here before, for 100 seconds."""
    for config in job.train:
        fields = {"where": HERE, "recipe": recipe_of(config), "images": len(data.rows("train")), "planned": 10, "epochs": 10}
        timing = Timing.model_validate(fields | {"fixed_s": 50, "epoch_s": 5})
        paid: dict[str, Any] = {"seconds": 100, "hardware": "local: here", "usd": Decimal(0), "price_as_of": "2026-11-01"}
        ledger.append(Trained(**KEY, trainer=config.kind, run_id="r", dataset="other", timing=timing, **paid))


@pytest.fixture
def holder(tmp_path: Path) -> JobHolder:
    """In a home whose machine costs a cent a second."""
    return JobHolder(Settings(home=tmp_path / "home", local_usd_per_hour=Decimal(36)), MemoryLedger(), lambda _: None)


def held(holder: JobHolder) -> Decimal:
    return standing_of(holder.ledger.entries(), "hand", now()).held_usd


def trainers(job: Job) -> list[Any]:
    return [(config, object()) for config in job.train]


def test_what_past_runs_tell_is_held_and_lowered_with_each_booking(holder: JobHolder, dataset: DataSet) -> None:
    job = job_of()
    knows(holder.ledger, job, dataset)  # type: ignore[arg-type]
    with holder.holding(job, dataset, trainers(job), ADA) as booked:
        assert held(holder) == pytest.approx(Decimal("2.16"))  # two of 100 s, and 8 % more
        booked(1)
        assert held(holder) == pytest.approx(Decimal("1.08"))
    assert held(holder) == 0


def test_an_hour_is_held_where_nothing_is_known_and_every_trial_of_a_search_counts(holder: JobHolder, dataset: DataSet) -> None:
    job = job_of()
    with holder.holding(job, dataset, trainers(job), ADA):
        assert held(holder) == 2 * 36 * Decimal(UNKNOWN_S) / 3600
    searched = job_of(search={"trials": 3, "space": {"batch": [16, 32]}})
    knows(holder.ledger, searched, dataset)  # type: ignore[arg-type]
    with holder.holding(searched, dataset, trainers(searched), ADA):
        assert held(holder) == pytest.approx(4 * Decimal("2.16"))


def test_pods_hold_their_launchs_cap(holder: JobHolder, dataset: DataSet) -> None:
    launch = {"kind": "runpod", "image": "i", "gpus": ["NVIDIA A40"], "max_usd": 3, "max_minutes": 60}
    job = job_of(launch=launch, train=[{"kind": "torch"}])
    with holder.holding(job, dataset, trainers(job), ADA):
        assert held(holder) == 3


def test_without_a_budget_or_with_nothing_to_train_nothing_is_held(holder: JobHolder, dataset: DataSet) -> None:
    free = parse_job({"model": "hand", "train": [{"kind": "torch"}]}, "job")
    for job, parts in ((free, trainers(free)), (job_of(), [])):
        with holder.holding(job, dataset, parts, ADA) as booked:
            booked(1)
    assert holder.ledger.entries() == []


def test_a_job_is_refused_whole_before_its_first_training(holder: JobHolder, dataset: DataSet) -> None:
    job = job_of("2")
    knows(holder.ledger, job, dataset)  # type: ignore[arg-type]
    with pytest.raises(RefusedError, match=r"budget of hand: \$0\.00 of \$2\.00 .*up to \$2\.16"):
        holder.holding(job, dataset, trainers(job), ADA).__enter__()
    assert not any(isinstance(row.event, BudgetHeld) for row in holder.ledger.entries())


def test_a_training_of_a_person_whose_budget_is_spent_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    shop = Home(Settings(home=tmp_path, mlflow_uri="http://127.0.0.1:9"))
    me = whoami(shop.settings).name
    ledger, job = shop.ledger(), parse_job({"model": "hand", "train": [{"kind": "torch"}]}, "job")
    set_person_budget(ledger, me, Decimal(1), ADA)
    paid: dict[str, Any] = {"seconds": 100, "hardware": "local: here", "usd": Decimal(1), "price_as_of": "2026-11-01"}
    ledger.append(Trained(**KEY | {"model": "foot"}, trainer="torch", run_id="r", dataset="x", actor=me, **paid))
    work = TrainingJob(shop.settings, ledger, shop.store, shop.tracker, DatasetCatalog(tmp_path / "datasets"), lambda _: None)
    with pytest.raises(RefusedError, match=f"budget of {me}: is spent: .*modelyard budget person {me}"):
        work.run(job, job.train, None, lambda *_: None)  # type: ignore[arg-type]


def test_a_process_is_told_from_one_that_is_gone(holder: JobHolder, dataset: DataSet) -> None:
    code = "from pipelines.training.interrupted import process_mark; print(process_mark())"
    gone = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    if not gone.split()[2:]:
        pytest.skip("there is no /proc here, so nobody can tell")
    assert has_ended(gone)
    assert not has_ended(process_mark())
    assert not has_ended(process_mark().replace(str(os.getpid()), str(os.getpid()), 1) + "-another-boot")
    assert not any(map(has_ended, ("", "x", "1 2", "1 0 space")))
    job = job_of()
    with holder.holding(job, dataset, trainers(job), ADA):
        assert release_ended(holder.ledger, has_ended) == []  # ours: it lives
        assert held(holder) > 0
