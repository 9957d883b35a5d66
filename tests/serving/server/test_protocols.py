"""Each protocol: what other tools send is answered, what is not offered is refused, and what is too much costs nothing."""

from __future__ import annotations

import base64
import json
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import attacks

from registry.errors import InputError
from serving.inference import outputs
from serving.server.forms import file_in_form
from serving.server.protocols import mlflow, oip, plain
from serving.server.protocols.served import Served
from serving.workers.messages import Item

SERVED = Served("colours", 1, "b" * 64, ["red", "green", "blue"], (3,))
MOST = 64


def infer(body: dict, binary: bytes = b"") -> oip.ParsedRequest:
    """A parsed inference request."""
    head = json.dumps(body).encode()
    return oip.read_request(SERVED, head + binary, str(len(head)) if binary else None, MOST)


def tensor(**fields: object) -> dict:
    return {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES"} | fields]}


@pytest.mark.parametrize("shape", [[2], [2, 1]])
def test_a_column_of_bytes_is_a_list_of_them_as_tritons_tools_send_it(shape: list[int]) -> None:
    nested = [["QQ=="], ["Qg=="]] if len(shape) == 2 else ["QQ==", "Qg=="]
    assert infer(tensor(shape=shape, data=nested)).items == ["QQ==", "Qg=="]
    assert infer(tensor(shape=shape, data=["QQ==", "Qg=="])).items == ["QQ==", "Qg=="]
    binary = struct.pack("<I", 1) + b"A" + struct.pack("<I", 1) + b"B"
    assert infer(tensor(shape=shape, parameters={"binary_data_size": 10}), binary).items == [Item(b"A"), Item(b"B")]


@pytest.mark.parametrize(
    "body",
    [
        tensor(data=["QQ=="]) | {"parameters": {"sequence_id": 7}},
        tensor(data=["QQ=="]) | {"parameters": {"priority": 1}},
        tensor(data=["QQ=="]) | {"parameters": {"timeout": 10}},
        tensor(data=["QQ=="]) | {"parameters": {"content_type": "pd"}},
        tensor(data=["QQ=="]) | {"outputs": [{"name": "label", "parameters": {"classification": 2}}]},
        tensor(data=["QQ=="]) | {"outputs": [{"name": "label", "parameters": {"shared_memory_region": "a"}}]},
        tensor(data=["QQ=="], parameters={"shared_memory_region": "a"}),
        tensor(data=["QQ=="]) | {"output": [{"name": "label"}]},
        tensor(data=["QQ=="]) | {"outputs": [{"name": "label", "shape": [1]}]},
        tensor(data=["QQ=="], shape=[1, 2]),
        tensor(data=["QQ=="], shape=[1, 1, 1]),
        tensor(data=["QQ==", ["QQ=="]], shape=[2]),
        tensor(data=["QQ=="], shape=[]),
        tensor(shape=[65], data=["QQ=="] * 65),
    ],
)
def test_what_the_inference_protocol_does_not_offer_here_is_refused(body: dict) -> None:
    with pytest.raises(InputError):
        infer(body)


def test_what_mlservers_clients_add_changes_nothing() -> None:
    body = tensor(data=["QQ=="], parameters={"content_type": "base64"}) | {"parameters": {"content_type": "str"}}
    assert infer(body).items == ["QQ=="]


def test_parameters_of_mlflow_are_refused_and_none_are_not() -> None:
    body = {"inputs": ["QQ=="], "params": {"top_k": 2}}
    with pytest.raises(InputError, match="params 'top_k': is not offered"):
        mlflow.texts_of(json.dumps(body).encode(), "application/json")
    for params in ({}, None):
        assert mlflow.texts_of(json.dumps(body | {"params": params}).encode(), "application/json") == ["QQ=="]


def read(request: bytes) -> object:
    """What the server's protocols make of a request that is written out."""
    head, _, body = request.partition(b"\r\n\r\n")
    lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    path, kind = head.split()[1].decode(), lines["Content-Type"]
    if path == "/invocations":
        return mlflow.texts_of(body, kind)
    if path == "/predict":
        return file_in_form(body, kind) if kind.startswith("multipart") else plain.texts_of(body)
    return oip.read_request(SERVED, body, lines.get("Inference-Header-Content-Length"), MOST)


@pytest.mark.parametrize("attack", [attacks.empty_texts, attacks.numbers])
def test_a_request_of_too_much_is_refused_before_it_is_read(attack: Callable[[], list[bytes]]) -> None:
    """100,000 texts took ten seconds. The margin is wide: what is refused takes milliseconds."""
    for request in attack():
        began = time.thread_time()
        with pytest.raises(InputError):
            read(request)
        assert time.thread_time() - began < 0.3, request[:200]


def test_a_form_is_read_as_clients_write_it() -> None:
    import httpx

    image = bytes(range(256)) * 40 + b"\r\n--" + b"\r\n\r\n"
    sent = httpx.Request("POST", "http://x", files={"note": (None, "a note"), "file": ("a.jpg", image)}, data={"more": "x"})
    assert file_in_form(sent.read(), sent.headers["content-type"]) == image
    curl = b'--X\r\ncontent-disposition: form-data; name="file"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n%s\r\n--X--\r\n'
    for kind in ("multipart/form-data; boundary=X", 'multipart/form-data; charset=utf-8; boundary="X"'):
        assert file_in_form(curl % image, kind) == image
        assert file_in_form(b"before\r\n" + curl % b"", kind) == b""


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b"", "multipart/form-data", "no boundary"),
        (b"", "multipart/form-data; boundary=X", "holds no file"),
        (
            b'--X\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--X--',
            "multipart/form-data; boundary=X",
            "holds no file",
        ),
        (b'--X\r\nContent-Disposition: form-data; filename="a"\r\n\r\nb', "multipart/form-data; boundary=X", "is cut off"),
        (b"--X\r\n" + b"a" * 10_000, "multipart/form-data; boundary=X", "is cut off"),
    ],
)
def test_a_form_without_a_whole_file_is_refused(body: bytes, kind: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        file_in_form(body, kind)


@pytest.mark.parametrize("row", [(0.25, 0.5, 0.25), (0.5, 0.5, 0.0), (0.0, 0.0, 0.0)])
def test_a_row_is_parsed_once_and_its_label_is_the_answers(row: tuple[float, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    calls, unpack = list[str](), struct.unpack
    monkeypatch.setattr("serving.server.protocols.served.struct.unpack", lambda *a: calls.append("x") or unpack(*a))
    (answered,) = SERVED.read([struct.pack("<3f", *row)])
    assert answered.label == outputs.classification(SERVED.labels, row)["label"]
    for _ in range(2):
        assert plain.respond(SERVED, [answered], several=False)["label"] == answered.label
        mlflow.respond([answered])
    parsed = infer(tensor(data=[base64.b64encode(b"A").decode()]))
    assert oip.respond(SERVED, parsed, [answered])[0]["outputs"][1]["data"] == [answered.label]
    assert len(calls) == 1
