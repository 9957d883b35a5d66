"""Which pairs of like pictures count: of a few, only those that are as good as the same bytes."""

from __future__ import annotations

import pytest

from pipelines.data.dataset import FrameRow
from pipelines.data.leaks.report import Leak
from pipelines.data.leaks.support import supported


def rows() -> list[FrameRow]:
    facts = {"sha256": "s", "clip_sha256": "c", "label": "a", "width": 9, "height": 9}
    return [FrameRow(file=f"test/{number}", clip=f"clip{number // 10}", split="test", **facts) for number in range(40)]


def copies(count: int, value: float, text: str) -> list[Leak]:
    facts = {"kind": "near_duplicate", "split_a": "train", "file_a": "train/0", "split_b": "test", "value": value, "text": text}
    return [Leak(file_b=f"test/{number}", **facts) for number in range(count)]


@pytest.mark.parametrize(
    ("count", "value", "text", "groups", "counts"),
    [
        (4, 12.6, "the same picture, mirrored", "known", False),
        (1, 3.0, "the same picture, shifted", "known", False),
        (8, 12.6, "the same picture, mirrored", "known", True),
        (1, 2.0, "the same picture", "known", True),
        (1, 12.6, "the same picture, mirrored", "unknown", True),
    ],
)
def test_a_few_copies_that_are_not_exact_are_chance_where_it_is_known_what_belongs_together(
    count: int, value: float, text: str, groups: str, counts: bool
) -> None:
    assert bool(supported(copies(count, value, text), rows(), groups)) == counts  # type: ignore[arg-type]
