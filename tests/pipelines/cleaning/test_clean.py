"""Cleaning removes what nothing refers to and nothing else, and everything that worked before works after.

A home is made at random: models with versions that were deleted or not, promoted or not, trained on data sets, exported, deployed,
served by endpoints, trained on now, with leftovers of killed processes. What must stay is computed here from how it was made.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.cleaning import unused as removal
from pipelines.cleaning.clean import Cleaner
from pipelines.cleaning.environments import cache_root, unused_environments
from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import MANIFEST, open_dataset
from pipelines.data.kept import Origin
from pipelines.data.versions import difference, list_versions
from registry.errors import IntegrityError, NotFoundError, RefusedError
from registry.files import write_json
from registry.lease import locked_folder
from registry.memory import MemoryLedger
from registry.settings import Settings

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from cleaning_world import DAYS, World, later
from red_dataset import make_dataset


@settings(max_examples=60)
@given(seed=st.integers(0, 10**9))
def test_only_what_nothing_refers_to_goes_and_whatever_worked_works(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    world = World(tmp_path_factory.mktemp("world"), seed)
    cleaner = world.cleaner(world.store)
    items = cleaner.find()
    assert {Path(item.path) for item in items} == world.goes, "what is shown is what nothing refers to"
    assert all(path.exists() for path in world.goes | world.stays), "showing removes nothing"
    assert cleaner.remove(items) == items
    assert [path for path in world.goes if path.exists()] == []
    assert [path for path in world.stays if not path.exists()] == []
    for event in world._trained:
        if world._alive(event):
            world.catalog.find(event.dataset, event.label).verify()
    assert cleaner.find() == []


@settings(max_examples=20)
@given(seed=st.integers(0, 10**9))
def test_without_an_mlflow_server_every_version_counts(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    world = World(tmp_path_factory.mktemp("world"), seed)
    shown = {Path(item.path) for item in world.cleaner(None).find()}
    assert shown <= world.goes
    trained = {event.dataset for event in world._trained}
    assert not {path.name for path in shown} & trained


def test_what_was_written_within_a_day_is_let_alone(tmp_path: Path) -> None:
    world = World(tmp_path, 3)
    assert Cleaner(world.settings, world.ledger, world.store, time.time).find() == []


def test_a_ledger_that_knows_nothing_or_does_not_hold_removes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, 3)
    with pytest.raises(RefusedError, match="has no rows"):
        Cleaner(world.settings, MemoryLedger(), world.store, later).find()

    def cut(_: object) -> int:
        raise IntegrityError("ledger", "was cut", "restore it")

    monkeypatch.setattr(MemoryLedger, "verify", cut)
    with pytest.raises(IntegrityError):
        world.cleaner(world.store).find()
    assert all(path.exists() for path in world.goes | world.stays)
    with pytest.raises(NotFoundError, match="no such home"):
        Cleaner(Settings(home=tmp_path / "typo"), world.ledger, None, later).find()
    assert not (tmp_path / "typo").exists()


def test_what_comes_into_use_between_showing_and_removing_stays(tmp_path: Path) -> None:
    world = World(tmp_path, 3)
    cleaner, items = world.cleaner(world.store), world.cleaner(world.store).find()
    (item, *_) = [item for item in items if item.kind == "datasets"]
    write_json(world.settings.underway / "now.json", {"dataset": Path(item.path).name})
    removed = cleaner.remove(items)
    assert item not in removed
    assert len(removed) == len(items) - 1
    open_dataset(Path(item.path)).verify()


@pytest.mark.parametrize("taker", ["underway", "note"])
def test_a_data_set_that_is_taken_while_others_are_removed_stays(
    taker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training keeps its data set before it writes that it runs; either is enough."""
    world = World(tmp_path, 3)
    catalog, cleaner = world.catalog, Cleaner(world.settings, world.ledger, world.store, time.time)
    spare = [catalog.add(make_dataset(tmp_path / f"spare{number}", 100 + number), registered="gone") for number in range(2)]
    long_ago = time.time() - DAYS
    for path in world.settings.home.rglob("*"):
        os.utime(path, (long_ago, long_ago), follow_symlinks=False)
    items = [item for item in cleaner.find(["datasets"]) if Path(item.path) in {data.folder for data in spare}]
    assert len(items) == len(spare)
    taken, real = Path(items[1].path), removal.shutil.rmtree

    def slow(folder: Path) -> None:
        if taker == "note":
            os.utime(catalog.note(taken.name))
        else:
            write_json(world.settings.underway / "now.json", {"dataset": taken.name})
        real(folder)

    monkeypatch.setattr(removal.shutil, "rmtree", slow)
    assert cleaner.remove(items) == items[:1]
    open_dataset(taken).verify()
    assert catalog.note(taken.name).exists()


def test_a_removal_that_is_killed_leaves_no_half_of_it_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, 3)
    cleaner, items = world.cleaner(world.store), world.cleaner(world.store).find()

    def killed(_: Path) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(removal.shutil, "rmtree", killed)
        with pytest.raises(SystemExit):
            cleaner.remove(items)
    for path in world.goes:
        assert not path.exists() or path.is_file() or list(path.iterdir()), path
    assert [path for path in world.stays if not path.exists()] == []
    rest = cleaner.find()
    assert "leftovers" in {item.kind for item in rest}
    cleaner.remove(rest)
    assert cleaner.find() == []


def test_the_size_is_what_is_given_back(tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "hand", 1)
    catalog = DatasetCatalog(tmp_path / "datasets")
    kept = catalog.add(data)
    shared = sum(path.stat().st_size for path in kept.folder.rglob("*.jpg"))
    assert removal.size_of(kept.folder) == 0, "the other name keeps the bytes"
    for path in data.folder.rglob("*.jpg"):
        path.unlink()
    (data.folder / MANIFEST).unlink()
    assert removal.size_of(kept.folder) == shared + (kept.folder / MANIFEST).stat().st_size


def test_a_training_stays_while_somebody_works_on_it_and_its_data_set_with_it(tmp_path: Path) -> None:
    world = World(tmp_path, 3)
    cleaner, gone = world.cleaner(world.store), world.settings.trainings / "gone"
    with locked_folder(gone):
        assert gone not in {Path(item.path) for item in cleaner.find(["trainings"])}
    digest = next(Path(item.path).name for item in cleaner.find(["datasets"]))
    write_json(gone / "training.json", {"dataset": digest, "run_id": "gone"})
    assert digest not in {Path(item.path).name for item in cleaner.find(["datasets"])}
    month = Cleaner(world.settings, world.ledger, world.store, lambda: later() + 30 * DAYS / 10)
    assert {Path(item.path).name for item in month.find(["trainings"])} == {"gone", "unregistered", "untold"}


def test_logs_go_when_nothing_writes_them(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for name in ("deployments/live.log", "deployments/gone.log", "logs/mlflow.log"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("words")
    write_json(home / "deployments" / "live.json", {"source": "x"})
    write_json(home / "up.json", {})
    cleaner = Cleaner(Settings(home=home), MemoryLedger(), None, later)
    assert [Path(item.path).name for item in cleaner.find(["logs"])] == ["gone.log"]
    (home / "up.json").unlink()
    assert {Path(item.path).name for item in cleaner.find(["logs"])} == {"gone.log", "mlflow.log"}


def test_an_environment_goes_when_every_clone_that_was_noted_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("MODELYARD_CACHE", str(cache))
    for name in ("torch-1", "tensorflow-1", "node-1", "torch-2", "torch-3", "torch-4"):
        (cache / name).mkdir(parents=True)
    clone = tmp_path / "clone"
    (clone / ".venv").mkdir(parents=True)
    (clone / ".venv" / ".complete").write_text(f"{clone} {cache / 'torch-1'} digest")
    (clone / "serving" / "browser").mkdir(parents=True)
    (clone / ".venv-tf").symlink_to(cache / "tensorflow-1")
    (cache / "node-1" / "node_modules").mkdir()
    (clone / "serving" / "browser" / "node_modules").symlink_to(cache / "node-1" / "node_modules")
    for name in ("torch-1", "tensorflow-1", "node-1", "torch-2", "torch-4"):
        (cache / f"{name}.clones").write_text(f"{clone}\n{tmp_path / 'deleted clone'}\n")
    used = Settings(tf_python=cache / "torch-4" / "bin" / "python")
    shown = [Path(item.path).name for item in unused_environments(used, lambda _: False)]
    assert shown == ["torch-2"], "torch-3 has no note: who uses it is not known; torch-4 is ours"
    assert list(unused_environments(used, lambda _: True)) == []


def test_the_command_shows_and_removes_only_when_told(modelyard: Any, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "logs").mkdir(parents=True)
    (home / "logs" / "mlflow.log").write_text("words")
    old = time.time() - DAYS
    os.utime(home / "logs" / "mlflow.log", (old, old))
    for options in ((), ("--dry-run", "--yes"), ("--json",)):
        shown = modelyard("clean", "--home", home, *options)
        assert shown.returncode == 0, shown.stderr
        assert (home / "logs" / "mlflow.log").exists()
    assert json.loads(shown.stdout)[0]["removed"] is False
    done = modelyard("clean", "--home", home, "--yes", "--kind", "logs", "--json")
    assert json.loads(done.stdout)[0]["removed"] is True
    assert not (home / "logs" / "mlflow.log").exists()
    missing = modelyard("clean", "--home", tmp_path / "typo")
    assert (missing.returncode, len(missing.stderr.splitlines())) == (2, 1)
    assert not (tmp_path / "typo").exists()


def test_these_tests_look_at_no_cache_but_their_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A home that is ten days older would otherwise take the environments of whoever runs the tests along."""
    assert cache_root().is_relative_to(tmp_path_factory.getbasetemp())


def test_a_version_whose_pictures_go_stays_in_the_list_and_can_be_compared(tmp_path: Path) -> None:
    world = World(tmp_path, 3)
    catalog = world.catalog
    first = catalog.add(make_dataset(tmp_path / "made", 200), origin=Origin("glove"))
    later = make_dataset(tmp_path / "later", 201)
    manifest = later.manifest.model_copy(update={"version": 2, "parent": first.manifest.digest})
    write_json(later.folder / MANIFEST, manifest.document())
    catalog.add(open_dataset(later.folder), origin=Origin("glove"))
    cleaner = world.cleaner(world.store)
    items = [item for item in cleaner.find(["datasets"]) if Path(item.path) == first.folder]
    assert cleaner.remove(items) == items
    assert not first.folder.exists()
    rows = list_versions(catalog, [], "glove")
    assert [(row.name, row.parent, row.folder == str(first.folder)) for row in rows] == [
        ("glove@2", "glove@1", False),
        ("glove@1", "", False),
    ]
    assert difference(catalog, "glove@1", "glove@2").frames["added"] == 3
    shutil.rmtree(tmp_path / "made")
    assert not list_versions(catalog, [], "glove")[1].present
