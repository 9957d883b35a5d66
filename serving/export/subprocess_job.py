"""Running a script in another interpreter: JSON in, files and JSON out, limits on time and memory, one line on failure."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

import psutil

from registry.errors import InputError, ModelyardError, StorageError, UnavailableError, missing_extra, shorten
from registry.files import disk_full_message
from serving.environment import safe_environment

_LOOK_S = 0.2
_TIE = """
import ctypes, os, signal, sys
try:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
except (OSError, AttributeError):
    pass
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""
"""What the subprocess runs before it becomes the converter: on Linux the kernel then kills it with us, even on SIGKILL."""
_ERROR = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception)\b[^:]*: \S")
"""The line in which a Python or a Node program says what ended it."""
_COLOURS = re.compile(r"\x1b\[[\d;]*m")


class ToolError(ModelyardError):
    """A converter or a runtime in a subprocess failed."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a subprocess may use before it is killed, with its children. None: no limit. `more_memory` is how to raise it."""

    seconds: float | None = None
    gigabytes: float | None = None
    more_memory: str = "raise MODELYARD_CONVERTER_GB if this machine has the memory"


@dataclass(slots=True)
class Ties:
    """How a subprocess is tied to others that run beside it.

    `feed` holds lines for its standard input, None for its end; when `stop` is set, it is killed. `waits`: it can do
    nothing before the first line, so its time counts from there. `environment` is what it has instead of a converter's, and
    `log` is where its other output is kept.
    """

    on_line: Callable[[str], None] = lambda _: None
    feed: SimpleQueue[str | None] = field(default_factory=SimpleQueue)
    stop: Event = field(default_factory=Event)
    waits: bool = False
    environment: Mapping[str, str] | None = None
    log: Path | None = None


def run_subprocess(
    command: Sequence[str | Path], job: dict[str, Any], name: str, *, bounds: Bounds | None = None, ties: Ties | None = None
) -> dict[str, Any]:
    """Run `command JOB.json`; the subprocess writes its answer to `job["report"]`, which is added here.

    Each line that it prints on standard output goes to `ties.on_line`. It gets a process group of its own, and ends with
    us. A report with
    `problem` (subject, expectation, remedy) becomes an InputError; a subprocess that fails, or is killed for exceeding its
    limits, becomes a ToolError.
    """
    ties = ties or Ties()
    with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
        folder = Path(scratch)
        report, ticket, noise = folder / "report.json", folder / "job.json", ties.log or folder / "noise.log"
        ticket.write_text(json.dumps(job | {"report": str(report), "work": str(folder / "work")}))
        (folder / "work").mkdir()
        with noise.open("wb") as log:
            child = _Subprocess([*map(str, command), str(ticket)], name, log.fileno(), ties)
            code = child.wait(bounds or Bounds())
        answer = _read(report)
        if answer and "problem" in answer:
            raise InputError(*answer["problem"])
        if code or answer is None:
            raise _failure(name, code, child.broken, noise.read_text(errors="replace"))
        return answer


def answer_job(main: Callable[[dict[str, Any]], None]) -> None:
    """The other side of `run_subprocess`, in a script of ours: do the job of the first argument and write the report.

    A ModelyardError becomes the report's `problem`; anything else ends the script without a report.
    """
    job = json.loads(Path(sys.argv[1]).read_text())
    try:
        main(job)
        answer: dict[str, object] = {}
    except ModelyardError as error:
        answer = {"problem": [error.subject, error.expectation, error.remedy]}
    Path(job["report"]).write_text(json.dumps(answer))


def _read(report: Path) -> dict[str, Any] | None:
    """A subprocess's report; None if it was not finished."""
    try:
        return json.loads(report.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


_MISSING = re.compile(r"^ModuleNotFoundError: No module named '([\w.]+)'", re.MULTILINE)


def _failure(name: str, code: int, broken: tuple[str, str] | None, noise: str) -> ModelyardError:
    """Why a child failed, in one line."""
    if full := disk_full_message(noise):
        return StorageError(name, f"could not write its files ({full.lower()})", "free some space, then run it again")
    if broken:
        return ToolError(name, *broken)
    if code == -signal.SIGKILL:
        return ToolError(name, "was killed", "see that the machine has memory to spare, then run it again")
    if code < 0:
        return ToolError(name, f"crashed ({_signal_name(-code)})", "report it with what it printed, then run it again")
    if missing := _MISSING.search(noise):
        absent = missing_extra(missing[1], name)
        return ToolError(name, absent.expectation, absent.remedy)
    return ToolError(name, f"exited with {code}: {shorten(_error_line(noise), 240)}", "fix that, then run it again")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has no name
        return f"signal {number}"


def _error_line(noise: str) -> str:
    """The most telling line of a program's output: the exception, else the last line with an error, else the last."""
    words = _COLOURS.sub("", noise).strip().splitlines()
    ends = [line for line in words if _ERROR.match(line)]
    named = [line for line in words if "Error" in line and not line.startswith(" ")]
    return (ends or named or words or ["no output"])[-1]


class _Subprocess:
    """One process with its pipes and its watcher."""

    def __init__(self, words: list[str], name: str, log: int, ties: Ties) -> None:
        self.ties = ties
        self.broken: tuple[str, str] | None = None
        self.began = 0.0 if ties.waits else time.monotonic()
        if shutil.which(words[0]) is None:
            raise UnavailableError(name, f"'{words[0]}' cannot be started (there is no such program)", "run `make setup`")
        tied, pipe = [sys.executable, "-I", "-S", "-c", _TIE, str(os.getpid()), *words], subprocess.PIPE
        self.process = subprocess.Popen(
            tied,
            stdin=pipe,
            stdout=pipe,
            stderr=log,
            text=True,
            start_new_session=True,
            env=_quiet() if ties.environment is None else dict(ties.environment),
        )

    def wait(self, bounds: Bounds) -> int:
        """Pass lines on until it ends, and return how it ended."""
        for task in (lambda: self._watch(bounds), self._write):
            Thread(target=task, daemon=True).start()
        try:
            for line in self.process.stdout or ():
                self.ties.on_line(line.rstrip("\n"))
            return self.process.wait()
        finally:
            self.ties.feed.put(None)
            if self.process.poll() is None:
                self._kill()
                self.process.wait()
            if self.process.stdout:
                self.process.stdout.close()

    def _write(self) -> None:
        """Lines for its standard input, as they come."""
        try:
            with self.process.stdin or open(os.devnull, "w") as pipe:  # noqa: PTH123 a pipe is always there
                while (line := self.ties.feed.get()) is not None:
                    self.began = self.began or time.monotonic()
                    pipe.write(line + "\n")
                    pipe.flush()
        except (OSError, ValueError):  # it ended before it had read everything
            return

    def _watch(self, bounds: Bounds) -> None:
        """Kill it when it exceeds its limits or `stop` is set."""
        while self.process.poll() is None:
            self.broken = self._excess(bounds)
            if self.broken:
                break
        self._kill()  # and its process group with it

    def _excess(self, bounds: Bounds) -> tuple[str, str] | None:
        """Why it must end, and the remedy for just that; looks once, after a short wait."""
        if self.ties.stop.wait(_LOOK_S):
            return "was stopped, because something beside it failed", "see the other line"
        if bounds.seconds is not None and self.began and time.monotonic() - self.began > bounds.seconds:
            remedy = "raise MODELYARD_CONVERTER_SECONDS, or ask for fewer variants"
            return f"took longer than {bounds.seconds:g} s and was ended", remedy
        if bounds.gigabytes is not None and _used(self.process.pid) > bounds.gigabytes * 1e9:
            return f"used more than {bounds.gigabytes:g} GB of memory and was ended", bounds.more_memory
        return None

    def _kill(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return


def _used(pid: int) -> int:
    """Bytes of memory that a process and its children use."""
    used = 0
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in family:
        try:
            used += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return used


def _quiet() -> dict[str, str]:
    """The environment of a child: no secrets; TensorFlow on the CPU, without its banner and without fusing for oneDNN."""
    settings = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return safe_environment(settings=settings | {"TF_ENABLE_ONEDNN_OPTS": "0"})
