"""A real server process around a bundle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent.parent


class Served:
    """Where it answers, and its process."""

    def __init__(self, process: subprocess.Popen[str], info: dict) -> None:
        self.process, self.info, self.url = process, info, info["url"]

    @property
    def workers(self) -> list[psutil.Process]:
        return [process for process in psutil.Process(self.process.pid).children() if _works(process)]

    def end(self) -> str:
        """Stop it; what it logged."""
        self.process.terminate()
        return self.process.communicate(timeout=60)[1]


def _works(process: psutil.Process) -> bool:
    try:
        return "serving.workers.worker" in " ".join(process.cmdline())
    except psutil.Error:  # it ended, and is not buried yet
        return False


@contextmanager
def served(folder: Path, *options: str, **environment: str) -> Iterator[Served]:
    """`python -m serving.start` on a bundle, once it answers."""
    command = [sys.executable, "-P", "-m", "serving.start", "--bundle", str(folder), "--workers", "1", "--json", *options]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment
    )
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        yield Served(process, json.loads(line))
    finally:
        process.kill()
        process.communicate(timeout=30)
