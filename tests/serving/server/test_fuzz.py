"""Mutated image files by every way in; `make fuzz` sends many more."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "bundle")]
from endpoints import served
from fuzz import fuzz, handlers, over_http
from image_files import CUT_EXIF, chunk, hostile, picture, rational_exif, saved, with_chunks

SEED = int(os.environ.get("FUZZ_SEED", "14"))
COUNT = int(os.environ.get("FUZZ_COUNT", "120"))


@pytest.mark.timeout(0)
def test_every_file_is_answered_or_refused_alike_by_every_way_in_and_no_worker_ends(make_bundle, tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "bundle").folder
    with served(folder) as server:
        outcomes = fuzz(server, folder, SEED, COUNT)
    sys.stdout.write(f"seed {SEED}: {outcomes['decoded']:,} decoded, {outcomes['refused']:,} refused, no worker ended\n")
    assert outcomes.total() == COUNT
    assert min(outcomes.values()) > COUNT / 20


def test_the_files_that_once_ended_workers_are_dealt_with_by_every_way_in(make_bundle, tmp_path: Path) -> None:
    import httpx
    from attacks import by_every_protocol

    png = saved(picture(), "PNG")
    files = {
        "exif-cut": with_chunks(png, chunk(b"eXIf", CUT_EXIF)),
        "exif-srational": with_chunks(png, chunk(b"eXIf", rational_exif())),
        "jpeg-trailer": saved(picture()) + b"\0\0\0\x18ftypmp42" * 20,
    }
    small = {name: data for name, data in hostile().items() if len(data) < 300_000}
    folder = make_bundle(tmp_path / "bundle").folder
    with served(folder) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        (worker,) = server.workers
        for name, data in (files | small).items():
            wanted = name in files or name in {"many tags", "text bombs"}
            decided = [over_http(client, sent) for sent in by_every_protocol(data)]
            decided += [ask(data) for ask in handlers(folder).values()]
            assert decided == [wanted] * 8, name
        assert [process.pid for process in server.workers] == [worker.pid]
