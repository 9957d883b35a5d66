"""Accuracy with few clips: sign-digits with 3, 10 and 30 signers, tested on 40 others, by the `torch` trainer's defaults.

    python bench/few_clips.py ../shared/data [SEEDS] [SIGNERS …]

Val is a quarter as many further signers, as a split by clip would leave. Every figure is of the registered program, read back
from its folder, through the one preprocessing.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.dataset import DataSet, FrameRow, Manifest
from pipelines.job.jobfile import Split
from pipelines.job.trainers import TorchTrainer
from pipelines.training.trainers.contract import Watch
from pipelines.training.trainers.torch import TorchAdapter
from registry.digests import sha256_bytes
from serving.bundle.modelinfo import read_info
from serving.export.reference import Reference

TESTED = 40
BARS = {3: 0.80, 10: 0.95, 30: 0.99}
LIMIT_S = 90.0


def signers(archive: Path, folder: Path, trained: int, seed: int) -> DataSet:
    """A data set of `trained` signers to learn from, a quarter as many for val, and 40 others to test on."""
    with zipfile.ZipFile(archive) as opened:
        names = sorted(name for name in opened.namelist() if name.endswith(".jpg"))
        people = sorted({Path(name).name.split("_")[0] for name in names})
        order = np.random.default_rng(seed).permutation(people).tolist()
        held = max(1, trained // 4)
        parts = {"test": order[:TESTED], "train": order[TESTED : TESTED + trained]}
        parts["val"] = order[TESTED + trained : TESTED + trained + held]
        split_of = {person: split for split, members in parts.items() for person in members}
        rows = list[FrameRow]()
        for name in names:
            person, label = Path(name).name.split("_")[0], Path(name).parent.name
            if person not in split_of:
                continue
            content, file = opened.read(name), f"{split_of[person]}/{label}/{Path(name).name}"
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(content)
            digest, fields = sha256_bytes(content), {"split": split_of[person], "width": 100, "height": 100}
            rows.append(
                FrameRow.model_validate(
                    {"file": file, "sha256": digest, "clip": person, "clip_sha256": digest, "label": label, **fields}
                )
            )
    return DataSet(folder, Manifest(labels=sorted({row.label for row in rows}), source="images", split=Split(), frames=rows))


def measure(archive: Path, trained: int, seed: int, **fields: Any) -> tuple[float, float]:
    """Top-1 on the 40 signers, and the seconds that training took."""
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as scratch:
        data = signers(archive, Path(scratch) / "data", trained, seed)
        began = time.monotonic()
        watch = Watch(say=lambda line: print(f"    {line}", flush=True), choose=lambda choices: print(f"    {dict(choices)}"))
        fitted = TorchAdapter(TorchTrainer(seed=seed, **fields)).fit(data, Path(scratch), watch)
        seconds = time.monotonic() - began
        rows = data.rows("test")
        answers = Reference(fitted.folder, read_info(fitted.folder, "bench"), Path()).probabilities(data.files(rows))
        return float((answers.argmax(1) == np.array(data.targets(rows))).mean()), seconds


def main(archive: Path, seeds: int, sizes: list[int]) -> None:
    """Print a line a training, and the means."""
    for trained in sizes:
        runs = [measure(archive, trained, seed) for seed in range(seeds)]
        mean, longest = statistics.mean(top1 for top1, _ in runs), max(seconds for _, seconds in runs)
        every = ", ".join(f"{top1:.3f}" for top1, _ in runs)
        print(f"{trained} signers: top-1 {mean:.3f} ({every}), at most {longest:.0f} s", flush=True)


if __name__ == "__main__":
    counts = [int(word) for word in sys.argv[3:]] or sorted(BARS)
    main(Path(sys.argv[1]) / "sign-digits.zip", int(sys.argv[2]) if len(sys.argv) > 2 else 5, counts)  # noqa: PLR2004
