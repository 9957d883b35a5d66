"""One process that decodes pictures and runs the model; the HTTP process keeps as many as the machine has cores.

python -m serving.worker FD BUNDLE THREADS DEVICE

It imports neither HTTP nor pydantic: what it imports is what a cold start waits for. A picture that breaks a decoder
breaks a worker and not the server, and no thread of it waits for another one's interpreter lock.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from registry.errors import InputError, ModelyardError
from serving.frozen import read_frozen
from serving.preprocess import Preprocess, check_shape, decode
from serving.runner import Device, Runner
from serving.sealed import check_files
from serving.wire import Done, Hello, Item, pack, receive

MODEL, PREPROCESS = "model.onnx", "preprocess.json"


def main(fd: int, folder: Path, threads: int, device: Device) -> int:
    """Load, say hello, and answer until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the server says when to end
    with socket.socket(fileno=fd) as wire, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        try:
            runner = load(folder, threads, device)
        except ModelyardError as error:
            wire.sendall(pack(Hello(error=str(error))))
            return error.exit_code
        grey = Image.new("RGB", (64, 64), (114, 114, 114))
        row = runner.rows([grey])[0].shape  # the first answer is slower than all that follow: let it not be a user's
        wire.sendall(pack(Hello(runner.provider, row)))
        while (items := receive(wire, list[Item])) is not None:
            wire.sendall(pack(answer(runner, items)))
    return 0


def load(folder: Path, threads: int, device: Device) -> Runner:
    """The model of a bundle; what is opened was compared with its digest before."""
    check_files(folder, (MODEL, PREPROCESS))
    return Runner(folder / MODEL, read_frozen(folder / PREPROCESS, Preprocess), threads, device, fitted=True)


def answer(runner: Runner, items: list[Item]) -> Done:
    """Each picture's row, or why it has none: one bad picture does not spoil a batch."""
    began = time.perf_counter()
    rows, errors = [b""] * len(items), dict[int, str]()
    pictures = list[Image.Image]()
    places = list[int]()
    for place, item in enumerate(items):
        try:
            pictures.append(_picture(item))
            places.append(place)
        except InputError as error:
            errors[place] = str(error)
    decoded = time.perf_counter()
    for place, row in zip(places, runner.rows(pictures), strict=True):
        rows[place] = row.astype("<f4").tobytes()
    return Done(rows, errors, decoded - began, time.perf_counter() - decoded)


def _picture(item: Item) -> Image.Image:
    if item.shape is None:
        picture = decode(item.data)
    else:
        picture = Image.fromarray(np.frombuffer(item.data, np.uint8).reshape(*item.shape, 3))
    check_shape(*picture.size)
    return picture


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), "cuda" if sys.argv[4] == "cuda" else "cpu"))
