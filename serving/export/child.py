"""Running a script in another interpreter: JSON in, files and JSON out, a time limit, and its last words on failure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Timer
from typing import Any

from registry.errors import ModelyardError, UnavailableError, shorten

TIMEOUT_S = 900.0


class ToolError(ModelyardError):
    """A converter or a runtime in a child process failed."""

    exit_code = 1


def run_child(
    command: Sequence[str | Path], job: dict[str, Any], name: str, *, on_line: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Run `command JOB.json`; the child writes its answer to `job["report"]`, which is added here.

    Each line that it prints on standard output goes to `on_line`. It gets a process group of its own, which is
    killed whole when it takes longer than `TIMEOUT_S` or when we are interrupted.
    """
    with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
        place = Path(scratch)
        report, ticket, noise = place / "report.json", place / "job.json", place / "noise.log"
        ticket.write_text(json.dumps(job | {"report": str(report), "work": str(place / "work")}))
        (place / "work").mkdir()
        with noise.open("wb") as log:
            code = _wait([*command, ticket], name, log.fileno(), on_line or (lambda _: None))
        if code or not report.exists():
            words = noise.read_text(errors="replace").strip().splitlines()
            raise ToolError(name, f"exited with {code}: {shorten(words[-1] if words else 'no words', 240)}", "see above")
        return json.loads(report.read_bytes())


def _wait(command: Sequence[str | Path], name: str, log: int, on_line: Callable[[str], None]) -> int:
    """Start the child, pass its lines on, and return how it ended."""
    words = [str(part) for part in command]
    try:
        child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True, env=_quiet())
    except OSError as error:
        raise UnavailableError(name, f"'{words[0]}' cannot be started ({error.strerror})", "run `make setup`") from error
    watchdog = _kill_later(child)
    with child:
        try:
            for line in child.stdout or ():
                on_line(line.rstrip("\n"))
            return child.wait()
        finally:
            watchdog.cancel()
            if child.poll() is None:
                _kill(child)


def _kill_later(child: subprocess.Popen[str]) -> Timer:
    """A timer that ends a child which hangs."""
    timer = Timer(TIMEOUT_S, _kill, [child])
    timer.daemon = True
    timer.start()
    return timer


def _kill(child: subprocess.Popen[str]) -> None:
    os.killpg(child.pid, signal.SIGKILL)


def _quiet() -> dict[str, str]:
    """The environment of a child: TensorFlow on the CPU and without its banner."""
    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "MLFLOW_DISABLE_TELEMETRY": "true"}
