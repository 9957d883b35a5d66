"""How far a bundle's variants are from the trained model: the images it is measured on, measured again, and the report."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path

from pipelines.data.dataset import DataSet
from pipelines.data.samples import held_out, to_compare
from registry.files import building, write_atomic, write_json
from registry.records import Evidence, ModelVersion, ParityFigures
from serving.export.card import Facts
from serving.export.hard_images import make_hard_images
from serving.export.request import Measured

HARD_IMAGES = 14
ENOUGH = 50
"""Images from which on the gate takes a parity for measured; a data set of a few clips holds out fewer."""


@contextmanager
def parity_images(data: DataSet, count: int) -> Generator[list[Path]]:
    """Up to `count` held-out images, and edge cases made of the first of them, while the block runs.

    Where few are held out, others fill them up, and where the whole data set is small, more edge cases, to `ENOUGH` in all.
    """
    least = min(count, ENOUGH)
    chosen = data.files(max(held_out(data, count), to_compare(data, least), key=len))
    hard = max(min(HARD_IMAGES, len(chosen)), least - len(chosen))
    with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
        yield chosen + make_hard_images(list(islice(cycle(chosen), hard)), Path(scratch))


def card_facts(version: ModelVersion, evidence: Evidence, data: str = "") -> Facts:
    """What a bundle's card says of its version."""
    return Facts(str(version.ref), evidence.digest, evidence.evaluation, evidence.train_usd, data)


def report_of(parity: Sequence[ParityFigures]) -> str:
    """The table of a parity report, as Markdown."""
    lines = [
        "| variant | images | agreement | max diff | mean diff | mAP diff | wrong image | in the bundle |",
        "|---|" + "---|" * 7,
    ]
    for figures in parity:
        loss = "" if figures.map_difference is None else f"{figures.map_difference:.1e}"
        cells = f"{figures.top1_agreement:.3f} | {figures.max_abs_diff:.1e} | {figures.mean_abs_diff:.1e} | {loss}"
        kept = "yes" if figures.kept else f"no: {figures.note}"
        lines.append(f"| {figures.variant} | {figures.images} | {cells} | {figures.control_agreement:.3f} | {kept} |")
    return "\n".join(lines) + "\n"


def write_report(folder: Path, parity: Sequence[ParityFigures], measured: Measured) -> None:
    """A parity report as files: parity.json, parity.md, scatter.png."""
    from pipelines.evaluation.plots import parity_figure

    with building(folder) as work:
        write_json(work / "parity.json", [figures.model_dump(mode="json") for figures in parity])
        write_atomic(work / "parity.md", report_of(parity).encode())
        parity_figure(measured).savefig(work / "scatter.png", dpi=120)
