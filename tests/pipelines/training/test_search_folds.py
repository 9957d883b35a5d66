"""Folds of a search: each clip on one side, each frame held once, and the test split in none, whatever the clips."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.data.dataset import DataSet, FrameRow, Manifest
from pipelines.job.jobfile import Split
from pipelines.training.search.book import SearchAccount, TrialBook
from pipelines.training.search.folds import folds_of, without_test
from registry.errors import InputError, UnavailableError
from registry.memory import MemoryLedger
from registry.money.prices import local_price
from registry.records import Actor
from registry.settings import Settings
from registry.spending import TrainingFailed


def dataset_of(clips: dict[str, list[int]]) -> DataSet:
    """A data set in memory: class → frames of each of its clips; every fourth clip is test's."""
    rows = list[FrameRow]()
    for label, lengths in clips.items():
        for number, length in enumerate(lengths):
            split = "test" if number % 4 == 3 else "val" if number % 4 == 2 else "train"
            clip = f"{label}{number}"
            rows += [
                FrameRow(
                    file=f"{split}/{label}/{clip}-{frame}.jpg", sha256=f"{clip}{frame}", clip=clip, clip_sha256=clip,
                    label=label, split=split, width=1, height=1,
                )
                for frame in range(length)
            ]  # fmt: skip
    manifest = Manifest(labels=sorted(clips), source="clips", split=Split(), frames=rows)
    return DataSet(Path("nowhere"), manifest)


@settings(max_examples=60)
@given(
    clips=st.dictionaries(
        st.sampled_from(["cup", "box", "fist"]), st.lists(st.integers(1, 9), min_size=4, max_size=14), min_size=2
    ),
    folds=st.integers(2, 3),
    seed=st.integers(0, 5),
)
def test_no_clip_is_on_both_sides_each_frame_is_held_once_and_test_is_nowhere(
    clips: dict[str, list[int]], folds: int, seed: int
) -> None:
    data = dataset_of(clips)
    held = Counter[str]()
    for part in folds_of(data, folds, seed):
        sides = {split: {row.clip for row in part.rows(split)} for split in ("train", "val", "test")}
        assert not sides["train"] & sides["val"]
        assert not sides["test"]
        assert sides["train"]
        assert sides["val"]
        assert {row.label for row in part.rows("train")} == set(clips)
        held.update(row.sha256 for row in part.rows("val"))
    seen = {row.sha256 for row in without_test(data).manifest.frames}
    assert held == Counter(dict.fromkeys(seen, 1))
    assert not seen & {row.sha256 for row in data.rows("test")}


def test_a_class_with_fewer_clips_than_folds_is_one_line() -> None:
    data = dataset_of({"cup": [3] * 8, "fist": [3] * 4})
    with pytest.raises(InputError, match=r"class fist has 3 clips in train and val, which are too few for 5 folds; film more"):
        folds_of(data, 5, 0)


class Runs:
    """A tracker whose calls fail from one on."""

    def __init__(self, fails_at: int) -> None:
        self.left, self.run_id = fails_at, ""
        self.count = 0

    def _call(self, *_: object) -> None:
        self.left -= 1
        if self.left < 0:
            raise UnavailableError("MLflow", "is away", "start it")

    def begin(self, *_: object) -> Runs:
        self._call()
        self.count += 1
        log = Runs(0)
        log._call, log.run_id = self._call, f"run{self.count}"  # type: ignore[method-assign]
        return log

    def __getattr__(self, name: str) -> object:
        return self._call


@pytest.mark.parametrize("fails_at", range(14))
def test_whenever_mlflow_goes_away_every_trial_that_began_is_booked_once(fails_at: int, tmp_path: Path) -> None:
    ledger, price = MemoryLedger(), local_price(Settings()).model_copy(update={"usd_per_hour": Decimal(3600)})
    account = SearchAccount("hand", "d" * 64, price, Actor(name="ada", proven=False), tmp_path, patience=0)
    book = TrialBook(ledger, Runs(fails_at), account, "parent", "val_top1", lambda _: None)  # type: ignore[arg-type]
    trainer = {"kind": "torch", "arch": "small_cnn"}
    try:
        for key in ("a", "b"):
            book.begin(key, trainer, {"lr0": 0.1})
            book.report(key, {"score": 0.5, "step": 1, "metrics": {"val_top1": 0.5}})
            book.begin(key, trainer, {"lr0": 0.1})  # its worker was lost
            book.report(key, {"score": 0.5, "step": 1, "metrics": {"val_top1": 0.5}})
        book.end("a")
        book.end("b")
    except UnavailableError:
        pass
    finally:
        book.close()
        book.close()
    rows = [row.event for row in ledger.entries()]
    began = {trial.log.run_id for trial in book.trials.values()}
    assert sorted(row.run_id for row in rows) == sorted(began)
    assert all(isinstance(row, TrainingFailed) and row.trial and row.usd > 0 for row in rows)
    assert list(tmp_path.iterdir()) == []
