"""`train --dry-run` shows what would come, changes nothing, and refuses what a training would refuse."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from pipelines.cli.app import run as run_command
from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet
from pipelines.home import Home
from pipelines.identity import whoami
from pipelines.job.jobfile import Data, Job, parse_job
from pipelines.money.budgets import set_person_budget
from pipelines.training.quotes import dry_run, places
from pipelines.training.quotes.dry_run import DryRun, DryRunner
from pipelines.training.timing import HERE, recipe_of
from pipelines.training.trainers.contract import Fitted, Watch
from registry.errors import DeniedError, InputError, ModelyardError
from registry.events import Trained
from registry.memory import MemoryLedger
from registry.records import Actor, Timing
from registry.settings import Settings

KEY = {"model": "hand", "version": 1, "created_ms": 1, "digest": "d" * 64}
RUNPOD = {"kind": "runpod", "image": "i", "gpus": ["NVIDIA A40"], "max_usd": 2}


def quiet(*_: object) -> None:
    return


@dataclass
class Instant:
    """A trainer that takes no time, or refuses."""

    error: ModelyardError | None = None
    fits: int = 0

    def fit(self, data: DataSet, work: Path, watch: Watch) -> Fitted:
        self.fits += 1
        if self.error:
            raise self.error
        watch.epochs(2)
        for epoch in (1, 2):
            watch.on_epoch(epoch, {"train_loss": 1.0})
        return Fitted(work)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Instant:
    """What trains, wherever; and data checks that take no time."""
    trainer = Instant()
    monkeypatch.setattr(places, "launched", lambda *_: trainer)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    monkeypatch.setattr(dry_run.DryRunner, "_checked", lambda *_: ("all passed", []))
    return trainer


@pytest.fixture
def world(clips: Path, tmp_path: Path) -> tuple[Settings, DatasetCatalog, DataSet]:
    settings = Settings(home=tmp_path / "home", local_usd_per_hour=Decimal(36))
    catalog = DatasetCatalog(settings.datasets)
    return settings, catalog, catalog.build(Data(clips=clips), catalog.folder_of("hand"), quiet)


def job_of(**fields: object) -> Job:
    trainer = {"kind": "torch", "arch": "small_cnn", "imgsz": 64, "epochs": 20}
    return parse_job({"model": "hand", "train": [trainer]} | fields, "job")


def row(job: Job, data: DataSet, where: str = HERE, seconds: float = 100.0, dataset: str = "other") -> Trained:
    images = len(data.rows("train"))
    fields = {"where": where, "recipe": recipe_of(job.train[0]), "images": images, "planned": 20, "epochs": 20}
    timing = Timing.model_validate(fields | {"fixed_s": seconds / 2, "epoch_s": seconds / 40})
    paid = {"seconds": seconds, "hardware": where, "usd": Decimal(1), "price_as_of": "2026-11-01"}
    return Trained(**KEY, trainer="torch", run_id="r", dataset=dataset, actor="ada", timing=timing, **paid)


def quoted(
    world: tuple[Settings, DatasetCatalog, DataSet], job: Job, *rows: Trained, ledger: MemoryLedger | None = None
) -> DryRun:
    settings, catalog, data = world
    ledger = ledger or MemoryLedger()
    for event in rows:
        ledger.append(event)
    return DryRunner(settings, ledger, catalog, quiet).run(job, job.train, data)


def test_past_runs_are_enough_and_nothing_is_timed(here: Instant, world) -> None:
    job = job_of()
    answer = quoted(world, job, row(job, world[2]))
    (local,) = answer.trainers[0].places
    assert here.fits == 0
    assert local.seconds
    assert local.seconds.low < local.seconds.likely == 100 < local.seconds.high
    assert local.usd
    assert local.usd.likely == 1
    assert (local.basis, local.chosen, str(local.epochs)) == ("one past run", True, "20 epochs")
    assert answer.images["train"] == {"0": 12, "1": 12, "2": 12}
    assert answer.clips["val"] == {"0": 1, "1": 1, "2": 1}
    assert answer.dataset == "hand@1"
    assert answer.refusals == []


def test_without_any_it_is_timed_here(here: Instant, world) -> None:
    (local,) = quoted(world, job_of()).trainers[0].places
    assert here.fits >= 1
    assert local.basis == "timed epochs, here and now"
    assert local.seconds is not None


def test_a_trainer_that_cannot_train_here_is_a_refusal_with_its_own_line(here: Instant, world) -> None:
    here.error = InputError("arch 'x'", "does not exist", "did you mean 'y'?")
    answer = quoted(world, job_of())
    (local,) = answer.trainers[0].places
    assert (local.seconds, local.usd) == (None, None)
    assert answer.refusals == ["arch 'x': does not exist; did you mean 'y'?"]


def test_a_place_without_runs_is_said_to_be_unknown_never_free(here: Instant, world, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of(launch={"kind": "ray", "usd_per_hour": "1.5"})
    local, ray = quoted(world, job, row(job, world[2])).trainers[0].places
    assert (local.chosen, ray.chosen) == (False, True)
    assert (ray.seconds, ray.usd) == (None, None)
    assert ray.basis == "not known there: no run of this kind yet"
    known = quoted(world, job, row(job, world[2]), row(job, world[2], "ray auto cpus 1 gpus 0", 40)).trainers[0].places[1]
    assert known.seconds
    assert known.seconds.likely == 40

    def denied(*_: object) -> None:
        raise DeniedError("RUNPOD_API_KEY", "is not set", "set it to a key of your account")

    monkeypatch.setattr(places, "launched", denied)
    answer = quoted(world, job_of(launch=RUNPOD), row(job, world[2]))
    assert answer.trainers[0].places[1].basis.startswith("not known: RUNPOD_API_KEY: is not set")
    assert answer.refusals == ["RUNPOD_API_KEY: is not set; set it to a key of your account"]


def test_pods_are_quoted_by_kind_with_their_rate_and_the_launchs_cap(
    here: Instant, world, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.training.launchers import runpod
    from pipelines.training.launchers.runpod_quote import Candidate, PodQuote

    candidates = (Candidate("NVIDIA A40", Decimal("0.40"), "HIGH"), Candidate("NVIDIA L4", Decimal("0.60"), "LOW"))
    monkeypatch.setattr(runpod, "quote_pods", lambda *_: PodQuote(candidates, Decimal(2), 60))
    job = job_of(launch=RUNPOD | {"gpus": ["NVIDIA A40", "NVIDIA L4"], "max_usd": "0.01"})
    world_of = type("World", (), {"client": None})()
    monkeypatch.setattr(places, "launched", lambda config, launch, *_: runpod.PodTrainer(config, launch, world_of))
    past = row(job, world[2], "runpod: NVIDIA A40 x 1", 360)
    _, first, second = quoted(world, job, row(job, world[2]), past).trainers[0].places
    assert (first.name, first.usd_per_hour) == ("RunPod NVIDIA A40 x 1", Decimal("0.40"))
    assert first.usd
    assert first.usd.likely == first.usd_at_most == Decimal("0.01")  # 0.04 by the hour: the cap ends it before
    assert second.usd is None
    assert "$0.0100 at most, the launch's cap" in second.basis


def test_a_budget_that_the_quote_does_not_fit_refuses_before_the_start(here: Instant, world) -> None:
    ledger, job = MemoryLedger(), job_of(budget={"usd_per_month": "2.10"})
    answer = quoted(world, job, row(job, world[2]), ledger=ledger)
    assert answer.budgets[0].spent_usd == 1
    assert answer.refusals == []
    person = whoami(world[0]).name
    set_person_budget(ledger, person, Decimal("0.5"), Actor("boss"))
    assert [status.whose for status in quoted(world, job, ledger=ledger).budgets] == ["hand", person]
    (line,) = quoted(world, job, ledger=ledger).refusals
    assert line.startswith(f"budget of {person}: $0.00 of $0.5000 is spent")
    assert "this is quoted at up to $1.08" in line


def test_a_data_set_of_the_other_task_is_refused_as_in_training(here: Instant, world) -> None:
    settings, catalog, data = world
    boxed = DataSet(data.folder, data.manifest.model_copy(update={"task": "detect"}))
    job = job_of()
    with pytest.raises(InputError, match="the job's task is classify"):
        DryRunner(settings, MemoryLedger(), catalog, quiet).run(job, job.train, boxed)


def states(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}


def test_the_command_answers_in_one_document_and_leaves_the_home_as_it_was(
    here: Instant, world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def command(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            run_command([*words, "--home", str(world[0].home)])
        shown = capfd.readouterr()
        return int(left.value.code or 0), shown.out, shown.err

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    Path("modelyard.yaml").write_text("model: hand\ntrain:\n  - {kind: torch, arch: small_cnn, imgsz: 64, epochs: 20}\n")
    Home(world[0]).ledger().entries()
    before = states(world[0].home)
    code, out, err = command("train", "--dry-run", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert document["trainers"][0]["places"][0]["name"] == "this machine"
    assert document["trainers"][0]["places"][0]["usd"]["likely"]
    code, out, _ = command("train", "--dry-run")
    assert code == 0
    assert "this machine" in out
    assert "12 (4)" in out
    here.error = InputError("arch 'x'", "does not exist", "did you mean 'y'?")
    code, out, err = command("train", "--dry-run", "--json")
    assert json.loads(out)["refusals"]
    assert code == 1
    code, _, err = command("train", "--dry-run")
    assert code == 1
    assert err.strip().splitlines()[-1] == (
        "modelyard: train: would be refused: arch 'x': does not exist; did you mean 'y'?; fix that; nothing was trained"
    )
    assert command("train", "--dry-run", "--resume", "abc")[0] == 2
    assert states(world[0].home) == before


@pytest.fixture(autouse=True)
def _no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "RUNPOD_API_KEY"):
        monkeypatch.delenv(name, raising=False)
