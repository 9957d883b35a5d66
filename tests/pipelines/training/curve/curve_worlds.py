"""Worlds of Gaussian classes whose truth is known: images vary about their clip, and clips about their class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.training.curve.heads import answers
from pipelines.training.curve.pool import Pool

CLASSES, SIDES, IMAGES = 3, 60, 3


@dataclass(frozen=True)
class World:
    """Makes clips; `hard` is how far clips lie from the middle of their class, where classes are 1 apart."""

    seed: int
    hard: float

    def clips(self, count: int, first: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Features, classes and clips of so many clips of each class; the same ones whenever asked for."""
        middles = np.random.default_rng(self.seed).normal(size=(CLASSES, SIDES)) / np.sqrt(SIDES)
        rows, targets, clips = [], [], []
        for number in range(first, first + count):
            for label in range(CLASSES):
                random = np.random.default_rng([self.seed, number, label])
                middle = middles[label] + self.hard * random.normal(size=SIDES)
                rows.append(middle + 0.05 * random.normal(size=(IMAGES, SIDES)))
                targets += [label] * IMAGES
                clips += [number * CLASSES + label] * IMAGES
        return np.concatenate(rows), np.array(targets), np.array(clips)

    def pool(self, trained: int, val: int) -> Pool:
        """What `curve` would see of so many clips of each class in train and in val."""
        rows, targets, clips = self.clips(trained + val)
        labels = [f"class {label}" for label in range(CLASSES)]
        return Pool(rows, targets, clips, labels, [trained] * CLASSES, frozenset(clips.tolist()))

    def gain(self, trained: int, more: int, label: int | None) -> float:
        """What `more` clips, of a class or of each, are really worth beside those in train: on 300 new clips of each class."""
        parts = [self.clips(trained), self.clips(more, first=1000)]
        rows, targets, clips = (np.concatenate(part) for part in zip(*parts, strict=True))
        asked, truth, _ = self.clips(300, first=5000)
        before = clips < trained * CLASSES
        after = before | (targets == label) if label is not None else np.full(len(rows), fill_value=True)
        counted = truth == label if label is not None else np.full(len(truth), fill_value=True)
        scores = [
            (answers(rows[part], targets[part], CLASSES, asked[counted]) == truth[counted]).mean() for part in (before, after)
        ]
        return float(scores[1] - scores[0])
