"""The serving rows: cold start, throughput, the tail at 80 % load and memory, each peer beside ours in one run."""

from __future__ import annotations

import functools
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = Callable[[], dict[str, Any]]

_TIMES_AHEAD = {"mlflow": 10.0, "ultralytics": 10.0, "bentoml": 10.0}
_FASTER = {"litserve": 1.5}
_PEERS = ("fastapi", "litserve", "bentoml", "mlflow", "ultralytics")
_SECONDS = 4.0
_MANY = 100_000
_LIMIT = 1.5
_KEPT = list[Any]()


@functools.cache
def _stage(model: str = "yolo") -> Any:
    """One trained and exported model for all rows of a run, removed when the run ends."""
    from serving_peers import set_stage

    kept = tempfile.TemporaryDirectory(prefix="modelyard-bench-")
    _KEPT.append(kept)
    return set_stage(Path(kept.name), model)


def rows() -> dict[str, Row]:
    """Every row by its name."""
    by_name: dict[str, Row] = {"cold_start_limit": _cold_start_limit, "cold_start_container": _cold_start_container}
    by_name |= {f"cold_start_{peer}": _named(_cold_start, peer) for peer in _PEERS}
    by_name["throughput_limit"] = _throughput_limit
    by_name["throughput_reduced"] = _throughput_reduced
    by_name |= {f"throughput_{peer}": _named(_throughput, peer) for peer in _PEERS}
    return by_name | {"serving_p99": _p99, "serving_memory": _memory}


def _named(measure: Callable[[str], dict[str, Any]], peer: str) -> Row:
    def one() -> dict[str, Any]:
        return measure(peer)

    one.__doc__ = (measure.__doc__ or "").replace("PEER", peer)
    return one


def _in_turn(times: int, **takes: Callable[[], float]) -> dict[str, float]:
    """Medians of what was taken in turn."""
    spans: dict[str, list[float]] = {name: [] for name in takes}
    for _ in range(times):
        for name, take in takes.items():
            spans[name].append(take())
    return {name: statistics.median(seconds) for name, seconds in spans.items()}


def _cold_start_limit() -> dict[str, Any]:
    """From typing `modelyard serve BUNDLE` to the first response (ours); a process that decodes and predicts, no HTTP (peer).

    The limit is 1.5 times the peer. Medians of nine, alternating.
    """
    return _against_bare("ours")


def _cold_start_container() -> dict[str, Any]:
    """From the container's entry point, with its bundle in place, to the first response (ours); the same process (peer).

    The limit is twice the peer: the entry point looks for the bundle and checks its digest before it becomes the server.
    """
    row = _against_bare("container")
    return row | {"limit": 2 * row["peer"]}


def _against_bare(server: str) -> dict[str, Any]:
    from serving_peers import bare, cold_start

    stage = _stage()
    medians = _in_turn(9, ours=lambda: cold_start(server, stage), peer=lambda: bare(stage))
    return {**medians, "limit": _LIMIT * medians["peer"], "unit": "s"}


def _cold_start(peer: str) -> dict[str, Any]:
    """From the command to the first response: `modelyard serve BUNDLE`, and PEER with the same model. Medians of three."""
    from serving_peers import cold_start, prepare

    stage = _stage()
    prepare(peer, stage)
    medians = _in_turn(3, ours=lambda: cold_start("ours", stage), peer=lambda: cold_start(peer, stage))
    return {**medians, "limit": medians["peer"] / _TIMES_AHEAD.get(peer, 1.0), "unit": "s"}


def _throughput_limit() -> dict[str, Any]:
    """Milliseconds per response at 8 connections (ours); Pillow and the model alone in a loop, divided by two cores (peer)."""
    from serving_peers import bare, load

    stage = _stage()
    medians = _in_turn(3, ours=lambda: load("ours", stage, _SECONDS)[0], peer=lambda: bare(stage, 300) * 1e3 / 2)
    return {**medians, "limit": _LIMIT * medians["peer"], "unit": "ms"}


def _throughput_reduced() -> dict[str, Any]:
    """Milliseconds per response at 8 connections, for a torch classifier trained with `decode: reduced` (ours).

    The peer is Pillow's full-size decode and the same network alone in a loop, divided by two cores, without HTTP.
    """
    from serving_peers import bare, load

    stage = _stage("reduced")
    medians = _in_turn(3, ours=lambda: load("ours", stage, _SECONDS)[0], peer=lambda: bare(stage, 300) * 1e3 / 2)
    return {**medians, "limit": medians["peer"], "unit": "ms"}


def _throughput(peer: str) -> dict[str, Any]:
    """Milliseconds per response at 8 connections under full load: ours, and PEER. Medians of three, alternating."""
    from serving_peers import load, prepare

    stage = _stage()
    prepare(peer, stage)
    medians = _in_turn(3, ours=lambda: load("ours", stage, _SECONDS)[0], peer=lambda: load(peer, stage, _SECONDS)[0])
    return {**medians, "limit": medians["peer"] / _FASTER.get(peer, 1.0), "unit": "ms"}


def _p99() -> dict[str, Any]:
    """p99 latency at 80 % of the throughput of the hand-written FastAPI server: ours, and FastAPI.

    Requests are sent at fixed times, so a slow response does not delay the next request.
    """
    from serving_peers import load, paced, prepare

    stage = _stage()
    prepare("fastapi", stage)
    gap_s = load("fastapi", stage, _SECONDS)[0] / 1e3 / 0.8
    medians = _in_turn(
        3, ours=lambda: paced("ours", stage, gap_s, 2 * _SECONDS), peer=lambda: paced("fastapi", stage, gap_s, 2 * _SECONDS)
    )
    return {**medians, "limit": medians["peer"], "unit": "ms"}


def _memory() -> dict[str, Any]:
    """Total memory of all processes of our server: after 100,000 requests (ours), and after the first 10,000 (peer).

    The limit is 5 % more.
    """
    from serving_peers import grown

    before, after = grown("ours", _stage(), _MANY // 10, _MANY)
    return {"ours": after, "peer": before, "limit": 1.05 * before, "unit": "MB"}
