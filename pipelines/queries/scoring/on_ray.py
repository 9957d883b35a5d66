"""Scoring by Ray Data: every worker of a cluster holds the model, and the answers stream back.

The bundle travels to the workers; the files do not: every worker has to see them under the same path.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.queries.scoring.records import ScoredFile, SourceFile, Unit
from pipelines.queries.scoring.scorer import rows_by_file, scorer_of
from pipelines.training.launchers.ray_cluster import cluster

if TYPE_CHECKING:
    from pipelines.queries.scoring.parts import Parts
    from serving.bundle.bundle import Bundle

_MOST_BLOCKS = 2000


class RayScorer:
    """The model in one of Ray's workers: made once, then called for unit after unit."""

    def __init__(self, files: Mapping[str, bytes], served_by: str, fps: float) -> None:
        """Put the bundle's files onto this worker's disk, check them, and load it."""
        from serving.bundle.bundle import open_bundle

        self._folder, self._fps = tempfile.TemporaryDirectory(prefix="modelyard-score-"), fps
        for name, content in files.items():
            path = Path(self._folder.name) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self._scorer = scorer_of(open_bundle(Path(self._folder.name)), served_by, 1, ThreadPoolExecutor(1))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """One unit of work, whose answers are lines of JSON."""
        files = tuple(SourceFile.model_validate(file) for file in json.loads(row["files"]))
        lines = list[bytes]()
        scored = rows_by_file(files, self._scorer.score(files, self._fps, lambda: None), lines.append)
        return {
            "number": row["number"],
            "rows": b"".join(lines),
            "files": json.dumps([file.model_dump(mode="json") for file in scored]),
        }


def score_on_ray(
    address: str, bundle: Bundle, served_by: str, fps: float, parts: Parts
) -> Callable[[Iterable[Unit]], Generator[list[ScoredFile]]]:
    """Score units on a cluster; what became of the files of each, as units are finished."""

    def run(units: Iterable[Unit]) -> Generator[list[ScoredFile]]:
        rows = [
            {"number": unit.number, "files": json.dumps([file.model_dump(mode="json") for file in unit.files])}
            for unit in units
        ]
        if not rows:
            return
        with cluster(address):
            for row in _rows(rows, (bundle_files(bundle), served_by, fps)):
                files = [ScoredFile.model_validate(file) for file in json.loads(row["files"])]
                parts.add(row["number"], row["rows"], files)
                yield files

    return run


def _rows(rows: list[dict[str, Any]], arguments: tuple[Mapping[str, bytes], str, float]) -> Iterator[dict[str, Any]]:
    import ray.data

    make: Any = RayScorer  # Ray's types know of functions only
    for name in ("ray.data", "ray.data._internal"):
        logging.getLogger(name).setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.enable_operator_progress_bars = False
    most = max(1, int(ray.cluster_resources().get("CPU", 1)))
    units = ray.data.from_items(rows, override_num_blocks=min(len(rows), _MOST_BLOCKS))
    scored = units.map(
        make,
        fn_constructor_args=arguments,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(most, len(rows))),
        num_cpus=1,
    )
    return iter(scored.iter_rows())


def bundle_files(bundle: Bundle) -> dict[str, bytes]:
    """Every file of a bundle."""
    folder = bundle.folder
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
