"""The collector beside real servers: what they count is recorded, through restarts, failures and damaged files."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from pipelines.services.collector import Collector
from registry.errors import BusyError
from registry.events import Deployed, Flipped, Promoted, about
from registry.lease import locked
from registry.opening import keys_of, ledger_of
from registry.records import ModelVersion
from registry.settings import Settings
from registry.stages import Stage
from serving.series.interval import Interval
from serving.series.reading import Series

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "tests/serving"))
from endpoints import served


def deploy(settings: Settings, url: str, model: str = "colours", version: int = 1, target: str = "local") -> None:
    """A version in production, and its endpoint, by the ledger."""
    ledger, facts = ledger_of(settings), about(ModelVersion(model, version, version), "d")
    ledger.append(Promoted(**facts, stage=Stage.PRODUCTION, previous=None, actor="ada", findings=[]))
    ledger.append(Flipped(**facts, stage=Stage.PRODUCTION, previous=None, actor="ada"))
    endpoint = {"target": target, "url": url, "bundle": "b", "price_as_of": "2026-11-22", "smoke_images": 8}
    ledger.append(Deployed(**facts, stage=Stage.PRODUCTION, usd_per_month=Decimal("36.50"), **endpoint))
    keys_of(settings).keep_public()


def total(settings: Settings, endpoint: str = "colours-production") -> Interval:
    points = Series(settings.metrics).window(endpoint, 0, int(time.time()) + 60, 3600)
    return sum((point.interval for point in points), Interval())


def ask(url: str, times: int) -> None:
    file = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 10, 10)).save(file, "png")
    for _ in range(times):
        httpx.post(f"{url}/predict", content=file.getvalue(), timeout=30).raise_for_status()


@pytest.fixture(scope="module")
def bundle(make_bundle: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("served") / "bundle").folder


@pytest.fixture
def endpoint(bundle: Path, settings: Settings) -> Iterator[str]:
    with served(bundle) as server:
        deploy(settings, server.url)
        yield server.url


def test_what_a_server_counts_is_recorded_and_a_restart_counts_from_nothing(bundle: Path, settings: Settings) -> None:
    lines = list[str]()
    with served(bundle) as server:
        port, collector = server.url.rpartition(":")[2], Collector(settings, 15, lines.append)
        deploy(settings, server.url)
        ask(server.url, 3)
        (reading,) = collector.once()
        assert (reading.state, reading.requests, reading.served) == ("up", 3, "colours/1")
        ask(server.url, 2)
        httpx.post(f"{server.url}/predict", content=b"no image", timeout=30)
        collector.once()
    seen = total(settings)
    assert (seen.requests, seen.errors, seen.refused, seen.starts, seen.late) == (6, 0, 1, 1, 3)
    assert sum(seen.latency.values()) == 6
    assert {edge for edge, count in seen.scores.items() if count} == {1.0}
    assert sum(seen.scores.values()) == 5
    assert 0 < seen.watched_ms < 60_000
    (reading,) = collector.once()
    assert reading.state == "unreachable (ConnectError)"
    assert total(settings).unreachable_ms > 0
    with served(bundle, "--port", port) as server:
        ask(server.url, 4)
        Collector(settings, 15, lines.append).once()
    seen = total(settings)
    assert (seen.requests, seen.starts) == (10, 2)
    assert lines == []


def test_the_collector_s_own_restart_loses_and_doubles_nothing(endpoint: str, settings: Settings) -> None:
    for count in (2, 3):
        ask(endpoint, count)
        Collector(settings, 15, pytest.fail).once()
    assert (total(settings).requests, total(settings).starts) == (5, 1)


def test_a_cloud_is_not_woken_and_nothing_is_made_for_it(settings: Settings) -> None:
    deploy(settings, "http://127.0.0.1:1", target="runpod")
    assert Collector(settings, 15, pytest.fail).once() == []
    assert not settings.metrics.exists()


def test_a_damaged_file_is_set_aside_and_recording_goes_on(endpoint: str, settings: Settings) -> None:
    settings.metrics.write_bytes(b"no database" * 1000)
    lines = list[str]()
    Collector(settings, 15, lines.append).once()
    assert len(lines) == 1
    assert "metrics.db.damaged" in lines[0]
    assert total(settings).starts == 1
    assert endpoint


def test_a_second_collector_of_a_home_is_refused_once_and_waits_if_it_goes_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(settings, "http://127.0.0.1:1")
    lines, pauses = list[str](), list[float]()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) % 3 == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", pause)
    with locked(settings.home / "collector.lock", RuntimeError()):
        with pytest.raises(BusyError, match="another collector"):
            Collector(settings, 15, lines.append).once()
        with pytest.raises(KeyboardInterrupt):
            Collector(settings, 15, lines.append).keep_on()
    assert (len(lines), pauses) == (1, [15, 15, 15]), "it is said once"
    with pytest.raises(KeyboardInterrupt):
        Collector(settings, 15, lines.append).keep_on()
    assert lines[1:] == ["colours-production is unreachable (ConnectError)"]


def test_whatever_fails_is_said_once_and_tried_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    lines, pauses = list[str](), list[float]()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            (settings.home / "ledger.db").unlink()
        if len(pauses) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", pause)
    settings.home.mkdir()
    (settings.home / "ledger.db").write_bytes(b"no database" * 1000)
    with pytest.raises(KeyboardInterrupt):
        Collector(settings, 15, lines.append).keep_on()
    assert len(lines) == 1
    assert "ledger" in lines[0]


def test_the_command_records_until_it_is_stopped_in_little_memory(endpoint: str, settings: Settings) -> None:
    command = [sys.executable, "-P", "-m", "pipelines.cli.main", "collect", "--home", str(settings.home), "--every", "1"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            assert process.stderr.readline().strip().endswith("colours-production is up")
            ask(endpoint, 2)
            deadline = time.monotonic() + 30
            while total(settings).requests < 2:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            assert psutil.Process(process.pid).memory_info().rss < 200_000_000
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert [path.name for path in settings.home.glob("metrics.db*")] == ["metrics.db"]


def test_the_command_looks_once_and_says_what_it_saw(endpoint: str, settings: Settings) -> None:
    code = "import sys, atexit\nfrom pipelines.cli.main import main\n"
    code += "heavy = {'mlflow', 'pandas', 'numpy', 'streamlit', 'torch'}\n"
    code += "atexit.register(lambda: print(sorted(heavy & set(sys.modules)), file=sys.stderr))\n"
    code += f"main(['collect', '--once', '--json', '--home', {str(settings.home)!r}])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=dict(os.environ), check=True
    )
    (shown,) = json.loads(done.stdout)
    assert (shown["endpoint"], shown["state"], shown["url"]) == ("colours-production", "up", endpoint)
    assert done.stderr.strip() == "[]", "nothing heavy is loaded"
