"""A head that is fitted in a millisecond: ridge regression on the features, one output a class."""

from __future__ import annotations

import numpy as np

from pipelines.training.curve.pool import Indices, Rows

_STRENGTH = 0.5
"""Of the features' variance; with 3, 10 and 30 people's photographs as good as a logistic regression."""


def answers(rows: Rows, targets: Indices, classes: int, asked: Rows) -> Indices:
    """The class that a head fitted to `rows` gives each of `asked`: `[M]`. A class without rows is never the answer.

    Every class counts the same, however many rows it has: what more clips of a class show is to be seen, and not that the
    head expects the class more often.
    """
    counts = np.bincount(targets, minlength=classes)
    share = 1 / (counts[targets] * (counts > 0).sum())
    mean = share @ rows
    root = np.sqrt(share)[:, None]
    centred = (rows - mean) * root
    usual = (counts > 0) / (counts > 0).sum()
    wanted = (np.eye(classes)[targets] - usual) * root
    strength = _STRENGTH * np.square(centred).sum() / len(rows) + 1e-9
    if len(rows) <= rows.shape[1]:
        gram = centred @ centred.T
        gram[np.diag_indices_from(gram)] += strength
        weights = centred.T @ np.linalg.solve(gram, wanted)
    else:
        gram = centred.T @ centred
        gram[np.diag_indices_from(gram)] += strength
        weights = np.linalg.solve(gram, centred.T @ wanted)
    scores = (asked - mean) @ weights + usual
    scores[:, counts == 0] = -np.inf
    return scores.argmax(1)
