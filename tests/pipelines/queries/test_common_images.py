"""Two versions are compared on the images that both were tested on, and it is said when that is not all of them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.data.dataset import FrameRow, Manifest
from pipelines.data.kept import KeptDatasets
from pipelines.evaluation.scores import HeldOutSet, evaluate
from pipelines.job.jobfile import Split
from pipelines.queries.common_images import Scored, compare_test_sets
from pipelines.queries.diff import diff
from registry.events import Evaluated, Trained, about
from registry.files import write_json
from registry.memory import MemoryLedger, MemoryStore
from registry.records import Evaluation
from registry.refs import parse_ref


def data_set(images: list[int], *, labels: str = "ab", clip: str = "clip") -> Manifest:
    """Test images by number: of clips of three, in an order that is not the clips'."""
    rows = [
        FrameRow(
            file=f"test/{labels[number % 2]}/{number}.jpg", sha256=f"image {number}", clip=f"{clip} {number // 3 % 7}",
            clip_sha256="c", label=labels[number % 2], split="test", width=1, height=1,
        )
        for number in images
    ]  # fmt: skip
    return Manifest(labels=sorted(labels), source="clips", split=Split(), frames=rows)


def score(manifest: Manifest, right: set[int]) -> Evaluation:
    """As `evaluate` scores: the images of these numbers were answered correctly."""
    rows = manifest.frames
    targets = [manifest.labels.index(row.label) for row in rows]
    hits = [int(row.sha256.split()[1]) in right for row in rows]
    answers = [target if hit else 1 - target for target, hit in zip(targets, hits, strict=True)]
    held = HeldOutSet(manifest.labels, targets, [row.clip for row in rows])
    return evaluate(np.eye(2, dtype=np.float32)[answers], held, manifest.digest, "test")


NUMBERS = st.lists(st.integers(0, 40), min_size=1, max_size=30, unique=True)


@settings(max_examples=60)
@given(NUMBERS, NUMBERS, st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)))
def test_the_common_images_are_those_with_the_same_bytes_whatever_the_order_and_the_clips(
    mine: list[int], yours: list[int], right_a: set[int], right_b: set[int]
) -> None:
    a, b = data_set(mine), data_set(yours, clip="another")
    known = {a.digest: a, b.digest: b}
    sides = (Scored("hand/1", score(a, right_a), "hand@1"), Scored("hand/2", score(b, right_b), "hand@2"))
    sets = compare_test_sets(*sides, known.get)
    both = set(mine) & set(yours)
    assert sets.same == (set(mine) == set(yours))
    assert (sets.score is not None) == (bool(both) and not sets.same)
    if sets.score:
        assert sets.score.images == len(both)
        assert sets.score.a == pytest.approx(len(both & right_a) / len(both))
        assert sets.score.b == pytest.approx(len(both & right_b) / len(both))
        assert sets.score.only_a == len(both & right_a - right_b)
        assert sets.score.interval[0] <= sets.score.difference <= sets.score.interval[1]
    elif not both:
        assert "none is in both: their figures cannot be compared" in sets.text


def test_what_cannot_be_known_is_said_and_never_guessed() -> None:
    a, b = data_set([1, 2, 3]), data_set([2, 3, 4])
    scored = Scored("hand/1", score(a, {1}), "hand@1"), Scored("hand/2", score(b, {1}), "hand@2")
    assert "hand@1 is not here any more: their figures cannot" in compare_test_sets(*scored, {b.digest: b}.get).text
    old = Scored("hand/2", scored[1].evaluation.model_copy(update={"outcomes": None}), "hand@2")
    both = {a.digest: a, b.digest: b}
    assert "run `modelyard evaluate hand/2`" in compare_test_sets(scored[0], old, both.get).text
    relabelled = data_set([2, 3], labels="ba")
    other = Scored("hand/2", score(relabelled, {2}), "hand@2")
    assert "none is in both" in compare_test_sets(scored[0], other, {a.digest: a, relabelled.digest: relabelled}.get).text


def test_diff_says_first_that_the_test_sets_differ_and_compares_on_what_is_common(tmp_path: Path) -> None:
    ledger, store, datasets = MemoryLedger(), MemoryStore(), KeptDatasets(tmp_path / "datasets")
    (tmp_path / "weights").mkdir()
    first = data_set([1, 2, 3, 4])
    second = data_set([3, 4, 5, 6, 7]).model_copy(update={"version": 2, "parent": first.digest})
    for manifest, right in ((first, {1, 2, 3}), (second, {3, 4, 5, 6, 7})):
        folder = datasets.folder(manifest.digest)
        write_json(folder / "manifest.json", manifest.document())
        write_json(datasets.note(manifest.digest), {"folder": str(folder), "registered": [], "models": ["hand"]})
        version = store.register("hand", tmp_path / "weights")
        paid = {"seconds": 1, "hardware": "here", "usd": Decimal(1), "price_as_of": "2026-11-01"}
        run = {"trainer": "torch", "run_id": f"r{version.version}", "dataset": manifest.digest}
        ledger.append(Trained(**about(version, "d" * 64), **run, **paid))
        ledger.append(Evaluated(**about(version, "d" * 64), evaluation=score(manifest, right)))
    lines = diff(store, ledger, lambda _: {}, datasets, (parse_ref("hand/1"), parse_ref("hand/2")))
    assert [line.what for line in lines[:3]] == ["test set", "common test images", "top1 on common images"]
    assert (lines[0].a, lines[0].b, lines[0].same) == ("hand@1", "hand@2", False)
    assert lines[0].text == (
        "hand/1 was scored on 4 test images (hand@1), hand/2 on 5 (hand@2); "
        "on the 2 that are in both, hand/1 has top-1 0.5000 and hand/2 1.0000"
    )
    assert (lines[2].a, lines[2].b) == ("0.5000", "1.0000")
    same = diff(store, ledger, lambda _: {}, datasets, (parse_ref("hand/1"), parse_ref("hand/1")))
    assert same[0].what == "version"
    assert all(line.same for line in same)
