"""Leaks as pictures side by side: a contact sheet per kind, and a page that shows them."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.data.leaks.report import HELD_OUT, KINDS, Kind, Leak, LeakReport
from registry.errors import shorten
from registry.files import building, write_atomic, write_json

_WIDE, _HIGH, _LINE = 220, 165, 16
_MOST = 24
_GAP = 6
_LONGEST = 34

_Image = NDArray[np.uint8]


def write_leaks(report: LeakReport, folder: Path, pictures: Path) -> LeakReport:
    """Write `leaks.json`, `<kind>.png` for each kind, and `index.html`, whole or not at all; returns the report.

    `pictures` is the data set's folder. A sheet shows the strongest pairs of many, spread over the pairs of files.
    """
    with building(folder) as work:
        write_json(work / "leaks.json", report.document())
        kinds: list[Kind] = [kind for kind in KINDS if report.of_kind(kind)]
        for kind in kinds:
            _write_sheet(work / f"{kind}.png", _chosen(report.of_kind(kind)), pictures)
        write_atomic(work / "index.html", _page(report, kinds).encode())
    return report


def _chosen(leaks: Sequence[Leak]) -> list[Leak]:
    """So many pairs, evenly from the surest to the least sure."""
    ordered = sorted(leaks, key=lambda leak: (leak.value, leak.file_b))
    places = np.linspace(0, len(ordered) - 1, min(_MOST, len(ordered))).round().astype(int)
    return [ordered[position] for position in places]


def _write_sheet(path: Path, leaks: Sequence[Leak], pictures: Path) -> None:
    """Two pairs a row: the earlier split's picture at the left of each, the held-out one at the right."""
    cells = [
        np.hstack([_cell(pictures, leak.split_a, leak.file_a), _cell(pictures, leak.split_b, leak.file_b)]) for leak in leaks
    ]
    if len(cells) % 2:
        cells.append(np.full_like(cells[0], 255))
    gap = np.full((cells[0].shape[0], 4 * _GAP, 3), 255, np.uint8)
    rows = [np.hstack([left, gap, right]) for left, right in zip(cells[::2], cells[1::2], strict=True)]
    written, content = cv2.imencode(".png", np.vstack(rows))
    if written:
        write_atomic(path, content.tobytes())


def _cell(folder: Path, split: str, file: str) -> _Image:
    """One picture, fitted, with its split and its name below."""
    cell = np.full((_HIGH + 2 * _LINE + _GAP, _WIDE + _GAP, 3), 255, np.uint8)
    try:
        image = cv2.imdecode(np.fromfile(folder / file, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error):
        image = None
    if image is not None:
        scale = min(_WIDE / image.shape[1], _HIGH / image.shape[0])
        width, height = max(1, int(image.shape[1] * scale)), max(1, int(image.shape[0] * scale))
        cell[:height, :width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    name = "".join(character if " " <= character <= "~" else "?" for character in shorten(Path(file).name, _LONGEST))
    for line, text in enumerate((split, name.replace("\N{HORIZONTAL ELLIPSIS}", "..."))):
        at = (2, _HIGH + _LINE * (line + 1) - 4)
        cv2.putText(cell, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.38, (40, 40, 40), 1, cv2.LINE_AA)
    return cell


def _page(report: LeakReport, kinds: Sequence[Kind]) -> str:
    """The page: what leaks, kind by kind, with its sheet and its pairs."""
    shares = ", ".join(f"{report.share(split):.1%} of {split}" for split in HELD_OUT)
    body = [f"<h1>Leaks across splits</h1><p>Leaked: {shares}.</p>"]
    body += [f"<p>{html.escape(finding.text)}</p>" for finding in report.warnings()]
    for kind, finding in zip(kinds, report.errors(), strict=True):
        rows = "".join(
            f"<tr><td>{html.escape(leak.file_a)}</td><td>{html.escape(leak.file_b)}</td><td>{html.escape(leak.text)}</td></tr>"
            for leak in _chosen(report.of_kind(kind))
        )
        body.append(
            f"<h2>{kind.replace('_', ' ')}</h2><p>{html.escape(finding.text)}</p>"
            f'<img src="{kind}.png" alt="pairs"><table>{rows}</table>'
        )
    if not kinds:
        body.append("<p>No held-out picture is leaked by bytes, pixels, clips, groups, names or times.</p>")
    style = "body{font:15px sans-serif;margin:2em;max-width:70em}td{padding:0 1em 0 0;font-size:12px}img{max-width:100%}"
    return f'<!doctype html><meta charset="utf-8"><title>Leaks</title><style>{style}</style>{"".join(body)}\n'
