"""One process that decodes pictures and runs the model; the HTTP process keeps as many as the machine has cores.

`spawn.py` starts it. It imports neither HTTP nor pydantic nor msgspec, because a cold start waits for its imports. A
picture that crashes a decoder ends a worker and not the server, and no thread waits for another's lock.
"""

from __future__ import annotations

import contextlib
import gc
import json
import signal
import socket
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from registry.errors import InputError, ModelyardError
from serving.bundle.checked import read_checked
from serving.bundle.preprocess import Preprocess
from serving.inference.runner import Prepared, Runner
from serving.workers.messages import Done, Hello, Item, pack_done, pack_hello, read_items, receive

MODEL, PREPROCESS = "model.onnx", "preprocess.json"

MOST_KEPT = 100_000_000
"""Above this many bytes of pixels the model runs at once, and the rest of the batch follows."""


def main(fd: int) -> int:
    """Load the bundle of the first message, say hello, and answer until the other side closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the server decides when to end
    with socket.socket(fileno=fd) as connection, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        if (message := receive(connection)) is None:
            return 0
        try:
            runner = load(json.loads(message[0]))
        except ModelyardError as error:
            connection.sendall(pack_hello(Hello(error=str(error))))
            return error.exit_code
        warnings.filterwarnings("ignore", module=r"PIL\.")  # of a stranger's file: no line in the server's log
        grey = Image.new("RGB", (64, 64), (114, 114, 114))
        row = runner.rows([grey])[0].shape  # warm up: the first prediction is slower
        connection.sendall(pack_hello(Hello(runner.provider, row)))
        gc.enable()
        gc.freeze()
        while (message := receive(connection)) is not None:
            connection.sendall(pack_done(answer(runner, read_items(*message))))
    return 0


def load(settings: dict[str, Any]) -> Runner:
    """A bundle's model, loaded from the very bytes whose digests were checked."""
    contents = read_checked(Path(settings["bundle"]), (MODEL, PREPROCESS))
    preprocess = Preprocess.of(json.loads(contents[PREPROCESS]))
    return Runner(contents[MODEL], preprocess, settings["threads"], settings["device"], fitted=True)


def answer(runner: Runner, items: list[Item]) -> Done:
    """Each picture's row, or its error: one bad picture does not fail a batch.

    Keeps no more of a picture than the model takes, and no more of a batch than MOST_KEPT: a small request can hold many
    huge pictures.
    """
    began, predicted = time.perf_counter(), 0.0
    rows, errors = [b""] * len(items), dict[int, str]()
    waiting, kept = dict[int, Prepared](), 0
    for index, item in enumerate(items):
        try:
            waiting[index] = prepared = runner.prepare(_picture(runner, item))
        except InputError as error:
            errors[index] = str(error)
            continue
        except Exception as error:  # noqa: BLE001 one picture's lack of memory does not fail its neighbours
            errors[index] = str(_unprepared(error))
            continue
        kept += prepared.pixels.size
        if kept > MOST_KEPT:
            predicted += _predict(runner, waiting, rows)
            waiting, kept = {}, 0
    predicted += _predict(runner, waiting, rows)
    return Done(rows, errors, time.perf_counter() - began - predicted, predicted)


def _predict(runner: Runner, waiting: dict[int, Prepared], rows: list[bytes]) -> float:
    """Write these pictures' rows at their indices; returns the seconds taken."""
    began = time.perf_counter()
    for index, row in zip(waiting, runner.run(list(waiting.values())), strict=True):
        rows[index] = row.astype("<f4").tobytes()
    return time.perf_counter() - began


def _unprepared(error: Exception) -> InputError:
    return InputError("image", f"cannot be prepared ({type(error).__name__})", "send a smaller picture")


def _picture(runner: Runner, item: Item) -> Image.Image:
    if item.shape is None:
        return runner.open(item.data)
    return Image.fromarray(np.frombuffer(item.data, np.uint8).reshape(*item.shape, 3))
