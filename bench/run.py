"""Run benchmarks, peer and ours in one run, and keep the newest row of each.

    python bench/run.py [NAME …]     all of them, or those named

Writes bench/results.json (a list of rows) and docs/performance.md (the table made from it). `ratio` says how much
better ours is: peer / ours for a time, and limit / ours where there is no peer; above 1 is better.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from browser_rows import rows as browser_rows
from clips import SkippedError
from clips import rows as clip_rows
from leak_scale import rows as leak_rows
from live_rows import rows as live_rows
from pages_scale import rows as pages_rows
from runs_scale import rows as runs_rows
from serving_rows import rows
from training_rows import rows as training_rows

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"
PAGE = HERE.parent / "docs" / "performance.md"
COMMAND = str(Path(sys.executable).with_name("modelyard"))
"""What a person types: a row measures that, not a module of ours."""
_REPEATS = 15
_WARM_UP = 20
_SMALL = 10  # figures below it are shown to the thousandth


def wall_ms(command: list[str]) -> float:
    """Milliseconds from process start to its end."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1e3


def cli_help() -> dict[str, Any]:
    """`modelyard --help` (ours) and an interpreter that does nothing (peer), alternating; medians."""
    commands = {"ours": [COMMAND, "--help"], "peer": [sys.executable, "-c", "pass"]}
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(_REPEATS):
        for name, command in commands.items():
            times[name].append(wall_ms(command))
    medians = {name: statistics.median(spans) for name, spans in times.items()}
    return {**medians, "limit": 400.0, "unit": "ms"}


def demo_wall() -> dict[str, Any]:
    """`modelyard demo` from an empty home to the end, including the start and stop of the servers."""
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder:
        command = [COMMAND, "demo", "--home", f"{folder}/home", "--exit", "--json"]
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return {"ours": time.perf_counter() - began, "peer": None, "limit": 360.0, "unit": "s"}


def quiet_pass() -> dict[str, Any]:
    """A reconciler pass over 1,000 models with 10 versions and two aliases each and nothing to do: the slowest of five.

    In one process, against a real MLflow server on SQLite. The first pass, which also reads the ledger and checks its
    signatures, is not counted.
    """
    from registry_scale import scaled

    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder, scaled(Path(folder), 1000) as reconciler:
        return {"ours": _slowest(reconciler), "peer": None, "limit": 2.0, "unit": "s"}


def quiet_pass_per_model() -> dict[str, Any]:
    """The same pass in seconds per 1,000 models: with 1,000 models (ours) and with 250 (peer); equal if it scales linearly.

    The limit is 1.5 times the peer.
    """
    from registry_scale import scaled

    per_model: dict[int, float] = {}
    for models in (250, 1000):
        with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder, scaled(Path(folder), models) as reconciler:
            per_model[models] = _slowest(reconciler) * 1000 / models
    return {"ours": per_model[1000], "peer": per_model[250], "limit": 1.5 * per_model[250], "unit": "s"}


def _slowest(reconciler: Any) -> float:
    spans: list[float] = []
    reconciler.once()
    for _ in range(5):
        began = time.perf_counter()
        done = reconciler.once()
        spans.append(time.perf_counter() - began)
        if done.acted:
            sys.exit(f"bench: the pass was not quiet: {done.acted[0]}")
    return max(spans)


def admission_overhead() -> dict[str, Any]:
    """A request that admission does not guard (`runs/log-metric`): a server with admission (ours), a stock one (peer).

    Both run at the same time, requests alternate; medians of 400. The limit is the peer plus one millisecond.
    """
    from registry_scale import two_servers

    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder, two_servers(Path(folder)) as (ours, stock):
        times: dict[str, list[float]] = {"ours": [], "peer": []}
        for turn in range(420):
            for name, ask in (("ours", ours), ("peer", stock)) if turn % 2 else (("peer", stock), ("ours", ours)):
                began = time.perf_counter()
                ask()
                if turn >= _WARM_UP:
                    times[name].append((time.perf_counter() - began) * 1e3)
    medians = {name: statistics.median(spans) for name, spans in times.items()}
    return {**medians, "limit": medians["peer"] + 1.0, "unit": "ms"}


def export_wall() -> dict[str, Any]:
    """The demo's classifier to ONNX and three TF.js variants with parity and latency (ours), and its converters alone (peer).

    Parity is measured on 214 images. The peer runs one converter after the other. Means of two, alternating; the limit is
    1.3 times the peer.
    """
    from exporting import FULL, converters_alone, digits, order_of, timed, trained

    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder:
        from pipelines.data.samples import held_out
        from serving.export.hard_images import make_hard_images

        root = Path(folder)
        data = digits(root)
        chosen = data.files(held_out(data, 200))
        (root / "awkward").mkdir()
        images = chosen + make_hard_images(chosen[:14], root / "awkward")
        order = order_of(trained("yolo", data, root / "models"), images, [], FULL)
        spans: dict[str, list[float]] = {"ours": [], "peer": []}
        for turn in range(2):
            spans["peer"].append(converters_alone(order, root / f"peer{turn}"))
            spans["ours"].append(timed(order, root / f"ours{turn}"))
    means = {name: statistics.mean(seconds) for name, seconds in spans.items()}
    return {**means, "limit": 1.3 * means["peer"], "unit": "s"}


BENCHES: dict[str, Callable[[], dict[str, Any]]] = {
    "cli_help": cli_help,
    "demo_wall": demo_wall,
    "quiet_pass": quiet_pass,
    "quiet_pass_per_model": quiet_pass_per_model,
    "admission_overhead": admission_overhead,
    "export_wall": export_wall,
    **rows(),
    **runs_rows(),
    **clip_rows(),
    **leak_rows(),
    **live_rows(),
    **browser_rows(),
    **pages_rows(),
    **training_rows(),
}


def row(name: str) -> dict[str, Any]:
    """One benchmark's row."""
    measured = BENCHES[name]()
    against = measured["peer"] if measured["peer"] is not None else measured["limit"]
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    places = 3 if measured["limit"] < _SMALL else 1
    figures = {key: measured[key] for key in ("ours", "peer", "limit")}
    rounded = {key: round(value, places) if isinstance(value, float) else value for key, value in figures.items()}
    return {
        "name": name,
        **rounded,
        "unit": measured["unit"],
        "ratio": round(against / measured["ours"], 3),
        "machine": machine,
        "date": datetime.now(UTC).date().isoformat(),
        **({"note": measured["note"]} if "note" in measured else {}),
    }


def page(rows: list[dict[str, Any]]) -> str:
    """The table, as Markdown."""
    lines = [
        "# Performance",
        "",
        "Generated by `make bench` from `bench/results.json`. Ours and the peer are measured in one run on one machine.",
        "`ratio` is peer / ours, or limit / ours without a peer; above 1, ours is better.",
        "",
        "| benchmark | ours | peer | limit | unit | ratio | machine | date |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for entry in rows:
        peer = "none" if entry["peer"] is None else entry["peer"]
        cells = [
            entry["name"],
            entry["ours"],
            peer,
            entry["limit"],
            entry["unit"],
            entry["ratio"],
            entry["machine"],
            entry["date"],
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    missed = list[str]()
    for entry in rows:
        if entry["ours"] > entry["limit"]:
            missed.append(f"- `{entry['name']}`: {entry['ours']} {entry['unit']}, limit {entry['limit']}.")
            missed += [f"  {line}" for line in _why(entry, rows)]
    lines += ["", "## Limits missed", "", *(missed or ["None."])]
    notes = [f"- `{entry['name']}`: {entry['note']}." for entry in rows if "note" in entry]
    lines += ["", "## Notes", "", *notes] if notes else []
    lines += ["", "## What each benchmark measures"]
    meanings = [f"- `{name}`: {' '.join((bench.__doc__ or '').split())}" for name, bench in BENCHES.items()]
    return "\n".join([*lines, "", *meanings]) + "\n"


def _why(missed: dict[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    """Why a limit is missed, where that is known: a cold start is not ten times as fast as BentoML's."""
    bare = next((entry for entry in rows if entry["name"] == "cold_start_limit"), None)
    if missed["name"] != "cold_start_bentoml" or not bare:
        return []
    most = missed["peer"] / bare["peer"]
    return [
        f"The goal was a tenth of BentoML's time, 7.3 s then and {missed['peer']} s here. Without HTTP, a process that",
        f"imports NumPy and ONNX Runtime, decodes and predicts once takes {bare['peer']} s: {most:.1f} times as fast.",
    ]


def main() -> int:
    """Run what was asked for; exit 1 where a limit is broken."""
    wanted = list(dict.fromkeys(sys.argv[1:])) or list(BENCHES)
    if unknown := [name for name in wanted if name not in BENCHES]:
        print(f"bench: no benchmark '{unknown[0]}'; expected one of {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    kept = {entry["name"]: entry for entry in json.loads(RESULTS.read_text())} if RESULTS.exists() else {}
    for name in list(wanted):
        try:
            kept[name] = row(name)
        except SkippedError as error:
            wanted.remove(name)
            print(f"bench: {name} is skipped: {error}", file=sys.stderr)
        else:
            print(json.dumps(kept[name]))
    rows = [kept[name] for name in BENCHES if name in kept]
    RESULTS.write_text(json.dumps(rows, indent=2) + "\n")
    PAGE.write_text(page(rows))
    return int(any(kept[name]["ours"] > kept[name]["limit"] for name in wanted))


if __name__ == "__main__":
    sys.exit(main())
