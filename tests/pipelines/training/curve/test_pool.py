"""Which clips are learnt from and which are scored: never the same, nested, and each as often as the others."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from curve_worlds import World

from pipelines.training.curve.heads import answers
from pipelines.training.curve.measure import measure, sizes_to
from pipelines.training.curve.pool import NEVER, Pool, draws, rotated


def shared(people: int) -> Pool:
    """Clips that hold every class, as people do who show each sign once."""
    targets, clips = np.tile(np.arange(3), people), np.repeat(np.arange(people), 3)
    rows = np.random.default_rng(0).normal(size=(len(targets), 5))
    return Pool(rows, targets, clips, ["a", "b", "c"], [people] * 3, frozenset(range(people)))


POOLS = {"a class a clip": World(0, hard=0.5).pool(6, 2), "clips of all classes": shared(7), "two clips": shared(2)}


@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)
def test_no_clip_is_learnt_from_and_scored_in_a_draw(pool: Pool) -> None:
    for draw in draws(pool, 12, 3):
        learnt = draw.ranks < NEVER
        assert not (learnt & draw.held).any()
        assert not set(pool.clips[learnt]) & set(pool.clips[draw.held])
        assert set(pool.targets[learnt]) == {0, 1, 2}, "something of each class is left to learn from"


@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)
def test_clips_are_scored_equally_often(pool: Pool) -> None:
    drawn = draws(pool, 12, 3)
    times = [sum(int(draw.held[pool.clips == clip].any()) for draw in drawn) for clip in np.unique(pool.clips)]
    assert max(times) - min(times) <= 2


@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)
def test_a_rank_is_of_a_whole_clip_and_each_class_has_its_own_order(pool: Pool) -> None:
    for draw in draws(pool, 4, 1):
        for label in range(3):
            of_label = (pool.targets == label) & ~draw.held
            ranks = {clip: set(draw.ranks[of_label & (pool.clips == clip)]) for clip in set(pool.clips[of_label])}
            assert sorted(rank for each in ranks.values() for rank in each) == list(range(len(ranks)))


def test_a_split_that_came_with_the_pictures_is_kept() -> None:
    pool = World(0, hard=0.5).pool(6, 2)
    val = frozenset(range(18, 24))
    for draw in draws(replace(pool, scorable=val), 3, 0):
        assert set(pool.clips[draw.held]) == val
    assert replace(pool, scorable=val).most_learnt_from(0) == 6


def test_sizes_end_with_all_there_are() -> None:
    assert sizes_to(1) == (1,)
    assert sizes_to(2) == (1, 2)
    assert sizes_to(9) == (1, 2, 3, 4, 6, 9)
    assert len(sizes_to(1000)) == 7
    assert sizes_to(1000)[-1] == 1000


def test_classes_with_fewer_clips_are_thinned_by_the_same_share() -> None:
    rows, targets, clips = World(2, hard=0.4).clips(12)
    few = ~((targets == 2) & (clips >= 12))
    pool = Pool(rows[few], targets[few], clips[few], list("abc"), [12, 12, 4], frozenset(clips[few].tolist()))
    measured = measure(pool, draws(pool, 6, 0), None)
    assert measured.sizes[-1] == pytest.approx(np.mean([pool.most_learnt_from(label) for label in range(3)]))
    assert all(before < after for before, after in zip(measured.sizes, measured.sizes[1:], strict=False))


def test_a_class_counts_the_same_however_many_rows_it_has() -> None:
    random = np.random.default_rng(0)
    few, many = random.normal(-1, 1, (5, 4)), random.normal(1, 1, (500, 4))
    targets = np.repeat([0, 1], [5, 500])
    asked = random.normal(-1, 1, (200, 4))
    assert (answers(np.concatenate([few, many]), targets, 2, asked) == 0).mean() > 0.8


@pytest.mark.parametrize("count", [20, 400])
def test_turning_features_keeps_what_lies_near_what(count: int) -> None:
    rows = np.random.default_rng(1).normal(size=(count, 40)).astype(np.float32)
    turned = rotated(rows)
    assert turned.shape == (count, min(count, 40))
    scaled = (rows - rows.mean(0)) / (rows.std(0) + 1e-3) / np.sqrt(40)
    assert np.allclose(turned @ turned.T, scaled @ scaled.T, atol=1e-4)
