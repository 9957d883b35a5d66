"""Exporters of other packages: loaded by entry point, run in a process of their own.

An entry point of the group `modelyard.exporters` names a kind and a class without arguments that implements `Exporter`.

python -P -m serving.export.plugins JOB.json      what the subprocess runs
"""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from registry.errors import InputError, missing_extra
from serving.bundle.modelinfo import ModelInfo
from serving.bundle.preprocess import stack_pixels
from serving.export.subprocess_job import answer_job

GROUP = "modelyard.exporters"


class Exporter(Protocol):
    """Makes another variant of a classifier, and runs it, so that it can be compared with the trained model.

    Both methods run in one process under the converters' limits. An exception fails that variant, and the whole
    export if the variant is required.
    """

    def export(self, core: Path, folder: Path, info: ModelInfo) -> None:
        """Write the variant into an empty folder, from ONNX: float32 `tensor` as preprocessed → `probabilities`."""
        ...

    def answers(self, folder: Path, tensors: NDArray[np.float32]) -> NDArray[np.float32]:
        """The variant's probabilities `[N, classes]` for finished tensors `[N, …]`, in its own runtime."""
        ...


def installed() -> list[str]:
    """The kinds of the installed exporters."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def load_exporter(kind: str) -> Exporter:
    """An exporter by its kind. Raises InputError naming those that are installed."""
    entries = entry_points(group=GROUP, name=kind)
    if not entries:
        names = ", ".join(installed()) or "none"
        raise InputError(
            f"exporter '{kind}'", f"is not installed (installed: {names})", "install its package, or fix `export:`"
        )
    try:
        return cast("Exporter", next(iter(entries)).load()())
    except ImportError as error:
        raise missing_extra(error.name or kind, f"exporter '{kind}'") from error


def main(job: dict[str, Any]) -> None:
    """Export where `core` is given, then answer for `images`."""
    info, folder = ModelInfo.of(job["info"]), Path(job["folder"])
    exporter = load_exporter(job["kind"])
    if job.get("core"):
        folder.mkdir(parents=True, exist_ok=True)
        exporter.export(Path(job["core"]), folder, info)
    tensors = info.preprocess.tensor(stack_pixels(info.preprocess, [Path(file) for file in job["images"]]))
    np.savez(job["answers"], probabilities=exporter.answers(folder, tensors))


if __name__ == "__main__":
    answer_job(main)
