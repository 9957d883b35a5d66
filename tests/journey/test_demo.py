"""The demo goes the whole way with real parts, and leaves what it says it leaves."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.journey, pytest.mark.long]
NEVER_MS = 500_000
"""After which a page is taken to hang."""


def test_every_trainer_ran_cost_nothing_here_and_met_the_gates(demo) -> None:
    tries = {attempt["trainer"]: attempt for attempt in demo.summary["tries"]}
    assert set(tries) == {"yolo", "keras"}
    for attempt in tries.values():
        assert float(attempt["usd"]) == 0, "no rate is set for this machine"
        assert attempt["interval"][0] <= attempt["top1"] <= attempt["interval"][1]
    best = max(tries.values(), key=lambda attempt: attempt["top1"])
    assert best["outcome"] == "production"
    for attempt in tries.values():
        if attempt["top1"] < 0.9:
            assert "is below 0.9" in attempt["outcome"]


def test_the_exports_answer_as_the_trained_model_and_a_wrong_image_does_not(demo) -> None:
    variants = {line.split(":")[0] for line in demo.summary["parity"]}
    assert variants == {"onnx", "tfjs-float16"}
    assert all("agreement 1.000" in line or "agreement 0.99" in line for line in demo.summary["parity"])
    assert all("wrong image 0.0" in line for line in demo.summary["parity"])
    assert len(demo.summary["predictions"]) == 5


def test_the_ledger_holds_and_tells_the_story(demo) -> None:
    from registry.ledger.store import open_ledger

    ledger = open_ledger(f"sqlite:///{demo.home / 'ledger.db'}")
    assert ledger.verify() > 8
    kinds = [entry.event.kind for entry in ledger.entries()]
    story = ["trained", "evaluated", "promoted", "exported", "promoted", "deployed"]
    position = -1
    for kind in story:
        position = kinds.index(kind, position + 1)


def test_nothing_keeps_running_and_nothing_is_half_written(demo) -> None:
    left = [
        process for process in psutil.process_iter(["cmdline"]) if str(demo.home) in " ".join(process.info["cmdline"] or [])
    ]
    assert left == []
    assert not (demo.home / "up.json").exists()
    assert not [path for path in demo.home.rglob(".*") if path.is_dir() and path.name != ".gx"]


def test_up_resumes_brings_the_endpoint_back_and_answers(
    demo, up, eventually: Callable[[Callable[[], bool]], None], modelyard: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    def status() -> list[dict]:
        return json.loads(modelyard("status", "--home", demo.home, "--json").stdout)

    with up(demo.home, "--no-dashboard") as (_, addresses):
        assert set(addresses) == {"mlflow"}
        eventually(lambda: any(row["endpoint"] for row in status()))
        live = next(row for row in status() if row["endpoint"])
        assert live["stage"] == "production"
        image = next((demo.home / "datasets").glob("digits3/test/1/*.jpg"))
        answers = json.loads(modelyard("predict", "digits3@production", image, "--home", demo.home, "--json").stdout)
        assert live["endpoint"] in answers[0]["served_by"]
        seen = modelyard("live", "digits3@production", "--source", image, "--home", demo.home, "--json").stdout
        frame, summary = map(json.loads, seen.splitlines())
        assert (frame["label"], summary["summary"]["frames"]) == (answers[0]["label"], 1)
        again = json.loads(modelyard("predict", f"{live['endpoint']}/predict", image, "--json").stdout)
        assert again[0]["label"] == answers[0]["label"]
        refused = modelyard("up", "--home", demo.home, "--mlflow-port", "0", "--no-dashboard")
        assert refused.returncode == 2
        assert "another `modelyard up` runs on it" in refused.stderr
        mine = [p for p in psutil.process_iter(["cmdline"]) if str(demo.home) in " ".join(p.info["cmdline"] or [])]
        killed = [p for p in mine if "serving.start" in p.info["cmdline"]]
        assert len(killed) == 1
        for process in killed:
            process.kill()
        eventually(lambda: any(row["endpoint"] not in {None, live["endpoint"]} for row in status()))
        missing = modelyard("evaluate", "digits3/99", "--home", demo.home)
        assert missing.returncode == 2
        assert "digits3 has versions 1 to 2" in missing.stderr
    left = [
        process for process in psutil.process_iter(["cmdline"]) if str(demo.home) in " ".join(process.info["cmdline"] or [])
    ]
    assert left == []


def test_an_alias_moved_by_hand_in_mlflow_is_refused_and_past_it_blocked_and_not_served(
    demo, up, eventually, modelyard
) -> None:
    import sqlite3

    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    loser = next(entry for entry in demo.summary["tries"] if entry["outcome"] != "production")
    number = loser["ref"].rpartition("/")[2]
    with up(demo.home, "--no-dashboard") as (_, addresses):
        client = MlflowClient(tracking_uri=addresses["mlflow"], registry_uri=addresses["mlflow"])
        winner = client.get_model_version_by_alias("digits3", "production").version
        with pytest.raises(MlflowException, match=r"PERMISSION_DENIED.*promote it to staging first"):
            client.set_registered_model_alias("digits3", "production", number)
        assert client.get_model_version_by_alias("digits3", "production").version == winner

        def point_at(version: str) -> None:
            with sqlite3.connect(demo.home / "mlflow.db", timeout=30) as database:
                database.execute("update registered_model_aliases set version = ? where alias = 'production'", (version,))
            database.close()

        point_at(number)  # past the server
        eventually(lambda: "modelyard.blocked" in client.get_model_version("digits3", number).tags)
        rows = json.loads(modelyard("status", "--home", demo.home, "--json").stdout)
        assert "not served" in next(row for row in rows if row["ref"] == loser["ref"])["note"]
        assert not [row for row in rows if row["ref"] == loser["ref"] and row["endpoint"]]
        point_at(winner)
        entries = json.loads(modelyard("history", "digits3", "--home", demo.home, "--json").stdout)
        assert {"policy_set", "refused", "promoted", "flipped", "deployed", "blocked"} <= {entry["what"] for entry in entries}
        held = modelyard("verify", "digits3@production", "--home", demo.home)
        assert "is what was ratified for production" in held.stdout, held.stderr
        assert modelyard("ledger", "verify", "--home", demo.home).returncode == 0
        shown = modelyard("diff", f"digits3/{number}", f"digits3/{winner}", "--home", demo.home)
        assert "test images" in shown.stdout, shown.stderr
        assert modelyard("approve", f"digits3/{winner}", "--home", demo.home).returncode == 1  # the author
        approved = modelyard("approve", f"digits3/{winner}", "--as", "eve", "--home", demo.home)
        assert "approved for production by eve (self-declared)" in approved.stdout, approved.stderr
        runs = client.search_runs(
            [client.get_experiment_by_name("digits3 (checks)").experiment_id], "tags.`modelyard.kind` = 'gates'"
        )
        assert {"promoted", "refused"} == {run.data.tags["modelyard.outcome"] for run in runs}
        names = {file.path for file in client.list_artifacts(runs[0].info.run_id)}
        assert {"evidence.json", "00_report.html"} <= names
        assert "passed" in client.get_model_version("digits3", winner).tags["modelyard.gates.production"]


@pytest.fixture(scope="module")
def find_valid(demo, up_module) -> Iterator[dict[str, str]]:
    """The demo's home with everything up, for the last tests, which only look."""
    with up_module(demo.home, "--dashboard-port", "0") as (_, addresses):
        yield addresses


def test_the_pages_look_right_in_a_real_browser(find_valid: dict[str, str], tmp_path: Path) -> None:
    import shutil

    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("Chromium is not installed here (Debian package 'chromium')")
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page(viewport={"width": 1360, "height": 900})
        page.set_default_timeout(NEVER_MS)
        for path, word in (("", "Models in production"), ("runs", "Runs"), ("registry", "Registry"), ("data", "Data")):
            page.goto(f"{find_valid['dashboard']}/{path}")
            page.get_by_role("heading", name=word, level=1).wait_for()
            page.get_by_test_id("stDataFrame").first.wait_for()
            assert page.get_by_test_id("stException").count() == 0
            shot = tmp_path / f"{word}.png"
            page.screenshot(path=shot)
            assert shot.stat().st_size > 20_000
        page.goto(f"{find_valid['mlflow']}/#/models/digits3")
        page.get_by_text("@ production").first.wait_for()
        browser.close()


def test_the_keras_version_runs_in_stock_mlflow_of_its_own_world(demo, find_valid: dict[str, str]) -> None:
    """A stock `mlflow.pyfunc.load_model` of the registered version answers, in the TensorFlow world."""
    from registry.settings import Settings

    number = next(attempt["ref"] for attempt in demo.summary["tries"] if attempt["trainer"] == "keras").rpartition("/")[2]
    code = (
        "import mlflow, numpy as np; "
        f"model = mlflow.pyfunc.load_model('models:/digits3/{number}'); "
        "print(np.asarray(model.predict(np.zeros((2, 64, 64, 3), np.float32))).shape)"
    )
    done = subprocess.run(
        [str(Settings().tf_python), "-c", code],
        env={"MLFLOW_TRACKING_URI": find_valid["mlflow"], "PATH": "/usr/bin:/bin", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "(2, 3)" in done.stdout, done.stderr[-1500:]
