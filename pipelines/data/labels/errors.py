"""Which labels are likely wrong: every picture is predicted by a small classifier that saw none of its clip."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.data.dataset import DataSet, FrameRow, Progress
from pipelines.data.labels.features import features_of
from registry.digests import sha256_bytes
from registry.errors import InputError, missing_extra
from registry.reports.reviews import Candidate

BY = "cleanlab"
MOST = 20_000
"""Pictures that are checked at most; it takes some 160 MB for their features, and minutes."""
_FOLDS = 5
_COMPONENTS, _KERNEL = 64, 600
_WHOLE = 0.8
"""From this share of a clip's pictures on, the whole clip is suggested for the label that they agree on."""
_LEAST_OF_CLIP = 3
_FEW = 0.05
"""Share of pictures that are worth a look one by one."""


@dataclass(frozen=True)
class LabelReport:
    """Pictures whose label is likely wrong, worst first, and what could not be checked.

    `unchecked`: class → how many clips it has, where they are too few. `accuracy`: how often the classifier that judged
    agrees with the labels; where it is low, suggestions are worth little. `checked` of `total` pictures were looked at.
    """

    candidates: Sequence[Candidate]
    checked: int
    total: int
    accuracy: float
    unchecked: Mapping[str, int]
    groups: str


def find_label_errors(data: DataSet, progress: Progress, most: int = MOST) -> LabelReport:
    """Check a classifier's data set. Raises InputError for a detector's, and where no two classes have two clips."""
    _require_cleanlab()
    manifest = data.manifest
    if manifest.task != "classify":
        remedy = "`modelyard check` checks boxes, `modelyard data propose` compares them with a detector's"
        raise InputError(data.folder, "holds boxes, and label errors are found in classes", remedy)
    clips = _clips_by_label(manifest.frames)
    unchecked = {label: len(clips.get(label, ())) for label in manifest.labels if len(clips.get(label, ())) < 2}  # noqa: PLR2004
    rows = _sample([row for row in manifest.frames if row.label not in unchecked], most)
    labels = sorted({row.label for row in rows})
    if len(labels) < 2:  # noqa: PLR2004 a pair
        remedy = "film more: a label is checked by what other clips of its class look like"
        raise InputError(data.folder, "needs two classes of two clips each", remedy)
    given = np.array([labels.index(row.label) for row in rows])
    chances = _held_out(features_of(data, rows, progress), given, [row.clip for row in rows], len(labels))
    candidates = _candidates(rows, labels, given, chances)
    accuracy = float((chances.argmax(axis=1) == given).mean())
    return LabelReport(candidates, len(rows), len(manifest.frames), accuracy, unchecked, manifest.groups)


def _require_cleanlab() -> None:
    """Before minutes of work rather than after them."""
    try:
        import cleanlab.filter  # noqa: F401
    except ImportError as error:
        raise missing_extra(error.name or "cleanlab", "label errors") from error


def _clips_by_label(rows: Sequence[FrameRow]) -> dict[str, set[str]]:
    clips = defaultdict[str, set[str]](set)
    for row in rows:
        clips[row.label].add(row.clip)
    return clips


def _sample(rows: Sequence[FrameRow], most: int) -> list[FrameRow]:
    """At most so many pictures, the same ones each time, whichever clips they are of."""
    if len(rows) <= most:
        return list(rows)
    chosen = {row.file for row in sorted(rows, key=lambda row: sha256_bytes(row.file.encode()))[:most]}
    return [row for row in rows if row.file in chosen]


def _held_out(
    features: NDArray[np.float32], given: NDArray[np.int64], clips: Sequence[str], classes: int
) -> NDArray[np.float64]:
    """Each picture's probabilities `[N, classes]` by a classifier that saw no picture of its clip."""
    from sklearn.model_selection import StratifiedGroupKFold

    folds = min(_FOLDS, len(set(clips)))
    own = np.eye(classes)[given]  # of what cannot be judged, the label is taken for right
    chances = own.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a class with fewer clips than folds, and of fits that stop at their bound
        for train, test in StratifiedGroupKFold(folds, shuffle=True, random_state=0).split(features, given, clips):
            present = np.unique(given[train])
            if len(present) < 2:  # noqa: PLR2004 nothing to tell apart
                continue
            fitted = _classifier(len(train), features.shape[1]).fit(features[train], given[train])
            chances[test] = 0
            chances[np.ix_(test, present)] = fitted.predict_proba(features[test])
            unseen = np.isin(given[test], present, invert=True)
            chances[test[unseen]] = own[test[unseen]]  # this classifier never saw the class
    return chances


def _classifier(rows: int, columns: int) -> Any:
    """A kernel classifier over the pictures' main directions: seconds for thousands of pictures on one core."""
    from sklearn.decomposition import PCA
    from sklearn.kernel_approximation import Nystroem
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(
        StandardScaler(),
        PCA(min(_COMPONENTS, rows, columns), random_state=0),
        Nystroem(gamma=0.001, n_components=min(_KERNEL, rows), random_state=0),
        LogisticRegression(C=10, max_iter=300),
    )


def _candidates(
    rows: Sequence[FrameRow], labels: Sequence[str], given: NDArray[np.int64], chances: NDArray[np.float64]
) -> list[Candidate]:
    """Pictures that cleanlab doubts and for which another class is likelier, worst first; whole clips are told as such."""
    best = chances.argmax(axis=1)
    wrong_clips = _wrong_clips(rows, given, best)
    candidates = dict[int, Candidate]()
    for index, row in enumerate(rows):
        suggested = wrong_clips.get((row.clip, row.label))
        if suggested is not None:
            candidates[index] = _candidate(row, labels[suggested], float(chances[index, suggested]), whole_clip=True)
    for index in _doubted(given, chances):
        if best[index] != given[index] and index not in candidates:
            other = int(best[index])
            candidates[index] = _candidate(rows[index], labels[other], float(chances[index, other]), whole_clip=False)
    return list(candidates.values())


def _candidate(row: FrameRow, suggested: str, score: float, *, whole_clip: bool) -> Candidate:
    return Candidate(
        kind="label-error",
        file=row.file,
        sha256=row.sha256,
        label=row.label,
        suggested=suggested,
        score=round(score, 4),
        by=BY,
        clip=row.clip,
        split=row.split,
        whole_clip=whole_clip,
    )


def _doubted(given: NDArray[np.int64], chances: NDArray[np.float64]) -> list[int]:
    """As many of each class as confident learning counts as wrong, those that are least like their label first.

    Of few pictures, the classifier is too unsure for it to count any: where it agrees with nearly all labels, each that it
    does not agree with is worth a look.
    """
    from cleanlab.filter import find_label_issues

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that nothing was predicted to be
        issues = find_label_issues(given, chances, filter_by="low_self_confidence", n_jobs=1)
    differs = chances.argmax(axis=1) != given
    if differs.mean() <= _FEW:
        issues = issues | differs
    own = chances[np.arange(len(given)), given]
    return sorted(np.flatnonzero(issues).tolist(), key=lambda index: own[index])


def _wrong_clips(rows: Sequence[FrameRow], given: NDArray[np.int64], best: NDArray[np.int64]) -> dict[tuple[str, str], int]:
    """Clip and its label → the class that nearly all of its pictures look like, where that is another one."""
    votes = defaultdict[tuple[str, str], Counter[int]](Counter)
    own = dict[tuple[str, str], int]()
    for row, label, seen in zip(rows, given.tolist(), best.tolist(), strict=True):
        votes[row.clip, row.label][seen] += 1
        own[row.clip, row.label] = label
    wrong = dict[tuple[str, str], int]()
    for clip, counts in votes.items():
        label, count = counts.most_common(1)[0]
        if label != own[clip] and counts.total() >= _LEAST_OF_CLIP and count >= _WHOLE * counts.total():
            wrong[clip] = label
    return wrong
