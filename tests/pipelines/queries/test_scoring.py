"""`modelyard score`: every picture once, in order, in one whole file; what cannot be read is listed; interruptions cost little."""

from __future__ import annotations

import csv
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from PIL import Image

from pipelines.queries.asking import BundleAsker
from pipelines.queries.scoring import score as module
from pipelines.queries.scoring.score import ScoreOptions, Scoring
from registry.errors import BusyError, InputError, RefusedError
from registry.lease import locked_folder

COLOURS = ("red", "green", "blue")


class World:
    """A bundle, folders of pictures, and what was said and shown."""

    def __init__(self, bundle: object, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bundle, self.root, self.out = bundle, root, root / "answers.jsonl"
        self.lines, self.shown = list[str](), list[tuple[str, int, int]]()
        monkeypatch.setattr(module, "last_bundle", lambda *_: (SimpleNamespace(ref="colours/1"), self.bundle))

    def score(self, *paths: Path, out: Path | None = None, **options: object) -> module.Summary:
        scoring = Scoring(lambda: None, lambda: None, self.lines.append, lambda *at: self.shown.append(at))  # type: ignore[arg-type]
        paths = paths or (self.root / "pictures",)
        return scoring.score("colours/1", paths, out or self.out, ScoreOptions(**options))

    def rows(self) -> list[dict]:
        return [json.loads(line) for line in self.out.read_text().splitlines()]


@pytest.fixture(scope="module")
def bundle(make_bundle: Callable[..., object], tmp_path_factory: pytest.TempPathFactory) -> object:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "b")


@pytest.fixture
def world(bundle: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    pictures = tmp_path / "pictures"
    for number in range(150):
        colour = COLOURS[number % 3]
        path = pictures / colour / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40 + number % 5, 32), colour).save(path)
    return World(bundle, tmp_path, monkeypatch)


def test_every_picture_of_a_tree_is_answered_once_in_order_as_predict_answers_it(world: World) -> None:
    summary = world.score()
    rows = world.rows()
    assert (summary.files, summary.rows, summary.resumed, summary.unreadable) == (150, 150, 0, [])
    assert [row["image"] for row in rows] == sorted(row["image"] for row in rows)
    assert all(row["label"] in row["image"] for row in rows)
    ask = BundleAsker(world.bundle, "x")  # type: ignore[arg-type]
    for row in rows[::31]:
        fields = ask(Path(row["image"]).read_bytes())
        assert row["label"] == fields["label"]
        assert row["probabilities"] == pytest.approx(fields["probabilities"], abs=1e-6)
    assert world.shown[-1] == ("files", 150, 150)
    assert not [path for path in world.root.iterdir() if "parts" in path.name]


def test_each_format_holds_the_same_rows(world: World) -> None:
    for ending in ("csv", "jsonl", "parquet"):
        world.score(out=world.root / f"answers.{ending}")
    frame = pd.read_parquet(world.root / "answers.parquet")
    with (world.root / "answers.csv").open(newline="") as file:
        sheet = list(csv.DictReader(file))
    rows = world.rows()
    assert frame["label"].tolist() == [row["label"] for row in rows] == [row["label"] for row in sheet]
    assert frame["probability"].tolist() == [row["probability"] for row in rows] == [float(row["probability"]) for row in sheet]
    assert [dict(pairs) for pairs in frame["probabilities"]] == [row["probabilities"] for row in rows]
    assert [json.loads(row["probabilities"]) for row in sheet] == [row["probabilities"] for row in rows]
    assert list(frame.columns) == list(rows[0]) == list(sheet[0])


def test_a_video_has_a_row_a_frame_with_its_time(world: World, clips: Path) -> None:
    clip = next(clips.rglob("*.mp4"))
    summary = world.score(clip, fps=100)
    rows = world.rows()
    assert summary.rows == len(rows) > 3
    assert [row["seconds"] for row in rows] == sorted(row["seconds"] for row in rows)
    fewer = world.score(clip, fps=1, out=world.root / "few.jsonl")
    assert 0 < fewer.rows < summary.rows


def broken(world: World) -> list[Path]:
    """Files of every kind that cannot be read."""
    folder = world.root / "pictures" / "odd"
    folder.mkdir()
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.jpg").write_text("not a picture")
    whole = (world.root / "pictures" / "red" / "000.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "film.mp4").write_bytes(b"0" * 99)
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "notes.txt").write_text("skipped")
    return [path for path in sorted(folder.iterdir()) if path.suffix != ".txt"]


def test_what_cannot_be_read_is_listed_with_its_reason_and_left_out(world: World) -> None:
    bad = broken(world)
    summary = world.score()
    assert summary.rows == 150
    assert [row.file for row in summary.unreadable] == [str(path) for path in bad]
    assert all(row.reason and "Traceback" not in row.reason for row in summary.unreadable)
    assert not {row["image"] for row in world.rows()} & {str(path) for path in bad}
    assert sum(line.startswith("left out ") for line in world.lines) == len(bad)


def test_strict_writes_nothing_keeps_what_was_scored_and_goes_on_once_the_files_are_repaired(world: World) -> None:
    bad = broken(world)
    with pytest.raises(RefusedError, match=rf"--strict: {len(bad)} of {150 + len(bad)} files cannot be read"):
        world.score(strict=True)
    assert not world.out.exists()
    for path in bad:
        path.unlink()
    summary = world.score(strict=True)
    assert (summary.rows, summary.resumed) == (150, 150)


def test_nothing_is_written_where_nothing_can_be_read(world: World) -> None:
    bad = broken(world)
    with pytest.raises(InputError, match="none of"):
        world.score(*bad)
    assert not world.out.exists()


@pytest.mark.parametrize("stop_after", [1, 70, 149])
def test_an_interrupted_run_is_continued_and_ends_in_the_file_of_one_that_was_not(
    world: World, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    world.score()
    whole = world.out.read_bytes()
    world.out.unlink()

    def interrupt(_: str, done: int, __: int) -> None:
        if done == stop_after:
            raise KeyboardInterrupt

    scoring = Scoring(lambda: None, lambda: None, world.lines.append, interrupt)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        scoring.score("colours/1", [world.root / "pictures"], world.out, ScoreOptions(workers=1))
    assert not world.out.exists()
    read = list[str]()
    path_of = module.__dict__["sources_of"]
    assert path_of
    monkeypatch.setattr("pipelines.queries.scoring.scorer.pictures_of", recording(read))
    summary = world.score()
    assert summary.resumed >= stop_after - stop_after % 64
    assert summary.resumed + len(read) == 150, "what was finished is not read again"
    assert world.out.read_bytes() == whole


def recording(read: list[str]) -> Callable[..., object]:
    from pipelines.queries.pictures import pictures_of

    def record(path: Path, fps: float) -> object:
        read.append(str(path))
        return pictures_of(path, fps)

    return record


def interrupted(world: World) -> None:
    """A run of which the first unit is finished."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    scoring = Scoring(lambda: None, lambda: None, world.lines.append, interrupt)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        scoring.score("colours/1", [world.root / "pictures"], world.out, ScoreOptions(workers=1))


def test_a_changed_file_another_bundle_or_another_rate_is_scored_again(
    world: World, make_bundle: Callable[..., object]
) -> None:
    interrupted(world)
    first = world.root / "pictures" / "blue" / "002.png"
    Image.new("RGB", (99, 99), "red").save(first)
    assert world.score().resumed > 0
    assert {row["image"]: row["label"] for row in world.rows()}[str(first)] == "red"
    world.out.unlink()
    interrupted(world)
    assert world.score(fps=7).resumed == 0
    world.out.unlink()
    interrupted(world)
    world.bundle = make_bundle(world.root / "other", gain=3.0)
    assert world.score().resumed == 0


def test_a_part_that_is_damaged_is_scored_again(world: World) -> None:
    for damage in (
        lambda p: p.write_text("{"),
        lambda p: p.with_suffix(".rows").write_bytes(b""),
        lambda p: p.write_text("[]"),
    ):
        interrupted(world)
        parts = world.root / ".answers.jsonl.parts"
        damage(next(path for path in parts.glob("0*.json")))
        summary = world.score()
        assert summary.rows == 150
        assert len({row["image"] for row in world.rows()}) == 150
        world.out.unlink()


def test_two_runs_into_one_file_are_one_too_many(world: World) -> None:
    parts = world.root / ".answers.jsonl.parts"
    parts.mkdir()
    with locked_folder(parts), pytest.raises(BusyError, match="another process scores into it now"):
        world.score()


def test_what_cannot_become_the_output_is_refused_before_anything_is_read(world: World) -> None:
    world.score()
    (world.root / "folder.csv").mkdir()
    for out, words in (
        (world.out, "exists already"),
        (world.root / "answers.xlsx", "is no format of answers"),
        (world.root / "folder.csv", "is a folder"),
        (world.root / "nowhere" / "answers.csv", "does not exist"),
    ):
        with pytest.raises(InputError, match=words):
            world.score(out=out)
    assert world.score(overwrite=True).rows == 150
    with pytest.raises(InputError, match="is an address"):
        Scoring(None, None, print, print).score("http://127.0.0.1:9", [world.root], world.out, ScoreOptions())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="standard input"):
        world.score(Path("-"), out=world.root / "new.csv")


def test_memory_does_not_grow_with_the_pictures(world: World) -> None:
    big = world.root / "big"
    big.mkdir()
    noise = Image.effect_noise((1200, 900), 90).convert("RGB")
    noise.save(big / "000.png")
    for number in range(1, 60):
        os.link(big / "000.png", big / f"{number:03d}.png")

    def peak(paths: list[Path]) -> int:
        tracemalloc.start()
        world.score(*paths, out=world.root / "peak.jsonl", overwrite=True, workers=2)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    files = sorted(big.iterdir())
    peak(files[:2])
    few, many = peak(files[:15]), peak(files)
    assert many < 2.5 * few, (few, many)
