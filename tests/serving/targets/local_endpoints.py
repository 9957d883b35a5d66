"""Endpoints on this machine around a server that starts at once; and a process that dies at its n-th step."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from serving.targets.contract import Ask
from serving.targets.local.process import EndpointProcess, processes_in
from serving.targets.local.target import LocalTarget

SERVER = """
import http.server, json, os, signal, sys, time
option = dict(zip(sys.argv[1::2], sys.argv[2::2]))
import pathlib
bundle = pathlib.Path(__file__).with_name("digests").read_text().split(",")[int(option["--bundle"][-1])]
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(float(pathlib.Path(__file__).with_name("linger").read_text())), os._exit(0)))
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"bundle": bundle}).encode()
        self.send_response(int(pathlib.Path(__file__).with_name("status").read_text())); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(option["--port"])), Answers).serve_forever()
"""
STEPS = {"os.posix_spawn", "os.rename", "os.remove", "os.kill", "os.mkdir"}
"""What changes the world, as the interpreter's audit events call it; so does opening a file to write it."""


def passes(_: Ask) -> None:
    """A smoke test."""


def quick_server(folder: Path, digests: list[str]) -> dict[str, str]:
    """The environment in which `python -m serving.start` is a server that starts at once: bundles are named by their index."""
    (folder / "serving").mkdir(parents=True)
    (folder / "serving" / "__init__.py").write_text("")
    (folder / "serving" / "start.py").write_text(SERVER)
    (folder / "serving" / "digests").write_text(",".join(digests))
    (folder / "serving" / "linger").write_text("0")
    (folder / "serving" / "status").write_text("200")
    return {"PYTHONPATH": str(folder)}


def running(target: LocalTarget) -> list[EndpointProcess]:
    """Every process that serves an endpoint of the folder."""
    return processes_in(target.folder / "canary")


def crash(act: Callable[[], object], step: int) -> int:
    """Act in a process of its own that is killed at a step; how it ended."""
    child = get_context("fork").Process(target=_act, args=(act, step))
    child.start()
    child.join()
    code = child.exitcode
    assert code is not None
    child.close()
    return code


def _act(act: Callable[[], object], step: int) -> None:
    die_at(step)
    act()
    os._exit(0)


def die_at(step: int) -> None:
    """Kill this process, without a word, before its n-th change of the world."""
    steps = count(1)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if (event in STEPS or writes) and next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
