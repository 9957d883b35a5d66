"""`python -m pipelines.plugins.project_run FOLDER`: sees a launch through, whether who submitted it is still there or not.

The training is the command `modelyard train`. What it comes to is written into the MLflow run that was submitted: its status,
the versions that it registered, its last line where it failed, and its log.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "pipelines.cli.main", "train", "--json")
_TRIES = 20
_PAUSE_S = 15.0


def see_through(work: Path) -> int:
    """Train what the folder's order says, and close its MLflow run; the exit code of the training."""
    order = json.loads((work / "order.json").read_text())
    env = os.environ | {"MODELYARD_MLFLOW_URI": order["tracking_uri"]}
    command = [*COMMAND, f"--job={work / 'job.yaml'}", *order["arguments"]]
    interrupted = list[int]()
    signal.signal(signal.SIGINT, lambda number, _: interrupted.append(number))  # the training has it too: it ends its pod
    with (work / "train.log").open("wb") as log:
        process = subprocess.Popen(command, env=env, cwd=order["folder"], stdout=subprocess.PIPE, stderr=log)
        out, _ = process.communicate()
    _keep_trying(lambda: _close(order, work, process.returncode, out, killed=bool(interrupted)))
    shutil.rmtree(work, ignore_errors=True)
    return process.returncode


def _close(order: dict[str, Any], work: Path, code: int, out: bytes, *, killed: bool) -> None:
    """Everything that is known of it, and its status last: a run that is closed is whole."""
    from mlflow import MlflowClient

    client, run_id = MlflowClient(order["tracking_uri"]), order["run_id"]
    client.log_artifact(run_id, str(work / "train.log"))
    if code == 0:
        events = json.loads(out)
        for event in events:
            client.set_tag(event["run_id"], "mlflow.parentRunId", run_id)
        client.set_tag(run_id, "modelyard.versions", ", ".join(f"{event['model']}/{event['version']}" for event in events))
        client.log_metric(run_id, "cost_usd", sum(float(event["usd"]) for event in events))
        client.set_terminated(run_id, "FINISHED")
        return
    lines = (work / "train.log").read_text(errors="replace").strip().splitlines()
    client.set_tag(run_id, "modelyard.outcome", lines[-1][:500] if lines else f"ended with {code}")
    client.set_terminated(run_id, "KILLED" if killed else "FAILED")


def _keep_trying(step: Callable[[], None]) -> None:
    """A server that is away comes back; the training itself is booked already."""
    from mlflow.exceptions import MlflowException

    for tried in range(1, _TRIES + 1):
        try:
            step()
        except MlflowException:
            if tried == _TRIES:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


if __name__ == "__main__":
    sys.exit(see_through(Path(sys.argv[1])))
