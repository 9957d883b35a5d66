"""The clips that the demo films."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipelines.data.frames import Sampling, extract
from pipelines.demo.clips import Film, film_digits


def quiet(*_: object) -> None:
    return


def test_the_demo_films_the_same_clips_each_time(tmp_path: Path) -> None:
    film = Film(clips=1, frames=3, size=64)
    films, again = film_digits(tmp_path / "one", film, quiet), film_digits(tmp_path / "other", film, quiet)
    first = sorted(path.relative_to(films) for path in films.rglob("*.mp4"))
    assert first == sorted(path.relative_to(again) for path in again.rglob("*.mp4"))
    assert len(first) == 10
    frames = [extract(folder / first[0], Sampling(fps=12, min_change=0)) for folder in (films, again)]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(*frames, strict=True))
