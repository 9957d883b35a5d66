"""One server, four protocols: the same answer by every way in, and a reason for every refusal."""

from __future__ import annotations

import base64
import io
import json
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from endpoints import served

Picture = Callable[..., bytes]


@pytest.fixture(scope="module")
def server(make_bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = make_bundle(tmp_path_factory.mktemp("served") / "bundle").folder
    with served(folder) as endpoint, httpx.Client(base_url=endpoint.url, timeout=30) as client:
        yield client


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def tensor(**fields) -> dict:
    return {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES"} | fields]}


def probabilities(answer: httpx.Response) -> dict[str, float]:
    """What any protocol's answer says of its first picture."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    if "outputs" in body:
        return dict(zip(("red", "green", "blue"), body["outputs"][0]["data"][:3], strict=True))
    return (body.get("predictions") or [body])[0]["probabilities"]


INFER = "/v2/models/colours/infer"


def test_every_way_in_gives_the_same_answer(server: httpx.Client, picture: Picture) -> None:
    image = picture("orange", (90, 41))
    pixels = Image.open(io.BytesIO(image)).convert("RGB").tobytes()
    encoded, body = text(image), struct.pack("<I", len(image)) + image
    head = json.dumps(tensor(parameters={"binary_data_size": len(body)})).encode()
    rows = {"columns": ["n", "image"], "data": [[1, encoded]]}
    answers = [
        server.post("/predict", content=image),
        server.post("/predict", content=image, headers={"content-type": "image/png"}),
        server.post("/predict", files={"file": image}),
        server.post("/predict", json={"image": encoded}),
        server.post("/predict", json={"images": [f"data:image/png;base64,{encoded}"]}),
        server.post("/invocations", json={"inputs": [encoded]}),
        server.post("/invocations", json={"inputs": {"image": encoded}}),
        server.post("/invocations", json={"instances": [{"b64": encoded}]}),
        server.post("/invocations", json={"dataframe_split": rows}),
        server.post("/invocations", json={"dataframe_records": [{"image": encoded}]}),
        server.post(INFER, json=tensor(data=[encoded])),
        server.post("/v2/models/colours/versions/1/infer", json=tensor(data=encoded)),
        server.post(INFER, content=head + body, headers={"inference-header-content-length": str(len(head))}),
        server.post(INFER, json=tensor(name="pixels", datatype="UINT8", shape=[1, 41, 90, 3], data=list(pixels))),
    ]
    first = probabilities(answers[0])
    assert first["red"] > first["green"] > first["blue"]
    for answer in answers:
        assert probabilities(answer) == pytest.approx(first, abs=1e-6)


def test_a_list_is_answered_in_order(server: httpx.Client, picture: Picture) -> None:
    images = [picture("red"), picture("lime", (20, 90)), picture("blue", kind="JPEG")]
    plain = server.post("/predict", json={"images": [text(image) for image in images]}).json()
    assert [prediction["label"] for prediction in plain["predictions"]] == ["red", "green", "blue"]
    assert (plain["model"], plain["version"]) == ("colours", 1)
    request = tensor(shape=[3], data=[text(image) for image in images]) | {"id": "42", "outputs": [{"name": "label"}]}
    inferred = server.post(INFER, json=request).json()
    assert inferred["id"] == "42"
    assert inferred["outputs"] == [{"name": "label", "datatype": "BYTES", "shape": [3], "data": ["red", "green", "blue"]}]


def binary(answer: httpx.Response) -> tuple[dict, list[bytes]]:
    """The JSON of an answer by the binary tensor extension, and what stands behind it, tensor by tensor."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/octet-stream"
    at = int(answer.headers["inference-header-content-length"])
    head, tensors = json.loads(answer.content[:at]), []
    for output in head["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size", 0)
        assert ("data" in output) == (size == 0)
        tensors.append(answer.content[at : at + size])
        at += size
    assert at == len(answer.content)
    return head, tensors


def test_tensors_are_answered_as_bytes_where_that_is_asked_for(server: httpx.Client, picture: Picture) -> None:
    request = tensor(shape=[2], data=[text(picture("red")), text(picture("lime"))])
    plain = {output["name"]: output["data"] for output in server.post(INFER, json=request).json()["outputs"]}
    head, (numbers, labels) = binary(server.post(INFER, json=request | {"parameters": {"binary_data_output": True}}))
    assert [(output["name"], output["datatype"], output["shape"]) for output in head["outputs"]] == [
        ("probabilities", "FP32", [2, 3]),
        ("label", "BYTES", [2]),
    ]
    assert list(struct.unpack("<6f", numbers)) == pytest.approx(plain["probabilities"])
    assert labels == b"\x03\0\0\0red\x05\0\0\0green"
    one_of_both = [{"name": "label"}, {"name": "probabilities", "parameters": {"binary_data": True}}]
    head, (_, numbers) = binary(server.post(INFER, json=request | {"outputs": one_of_both}))
    assert head["outputs"][0]["data"] == ["red", "green"]
    assert len(numbers) == 24
    none = [{"name": "label", "parameters": {"binary_data": False}}]
    answer = server.post(INFER, json=request | {"outputs": none, "parameters": {"binary_data_output": True}})
    assert answer.json()["outputs"][0]["data"] == ["red", "green"]


def test_it_says_what_it_is_and_that_it_can_answer(server: httpx.Client) -> None:
    health = server.get("/health").json()
    assert (health["status"], health["model"], health["version"], len(health["bundle"])) == ("ok", "colours", 1, 64)
    assert server.get("/ping").status_code == 200
    assert server.get("/version").text == "1"
    assert server.get("/v2/health/live").json() == {"live": True}
    assert server.get("/v2/health/ready").json() == {"ready": True}
    assert server.get("/v2/models/colours/ready").json() == {"name": "colours", "ready": True}
    about = server.get("/v2/models/colours").json()
    assert about["outputs"][0] == {"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]}
    assert about["parameters"]["labels"] == ["red", "green", "blue"]
    assert server.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert server.get("/").json()["openapi"] == "/openapi.json"


def jpeg_cut_short() -> bytes:
    held = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(held, "JPEG")
    return held.getvalue()[:900]


def bomb() -> bytes:
    """A PNG of 40,000 x 40,000 black pixels in two hundred bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def huge_jpeg() -> bytes:
    """A JPEG whose head promises 60,000 x 60,000 pixels."""
    held = io.BytesIO()
    Image.new("RGB", (16, 16)).save(held, "JPEG")
    data = bytearray(held.getvalue())
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = struct.pack(">HH", 60_000, 60_000)
    return bytes(data)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "empty"),
        (b"text", "cannot be decoded"),
        (jpeg_cut_short(), "cannot be decoded"),
        (bomb(), "more than 64,000,000 pixels"),
        (huge_jpeg(), "more than 64,000,000 pixels"),
        (b"\x80\x04K\x01.", "cannot be decoded"),
    ],
    ids=["empty", "text", "cut", "bomb", "huge", "pickle"],
)
def test_what_is_no_picture_is_refused_with_a_reason(server: httpx.Client, body: bytes, message: str) -> None:
    answer = server.post("/predict", content=body, headers={"x-request-id": "mine-7"})
    assert answer.status_code == 422
    assert message in answer.json()["error"]
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "mine-7"


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/predict", {}, 422, "either `image` or `images`"),
        ("/predict", {"image": 3}, 422, "$.image"),
        ("/predict", {"image": "%%"}, 422, "neither base64"),
        ("/predict", {"images": []}, 422, "no picture"),
        ("/predict", {"images": ["AAAA"] * 65}, 422, "more than 64 pictures"),
        ("/predict", {"image": "https://example.com/a.jpg"}, 422, "fetches none"),
        ("/predict", {"imgae": "AAAA"}, 422, "imgae"),
        ("/invocations", {"inputs": ["AAAA"], "instances": []}, 422, "has to hold one of"),
        ("/invocations", {"inputs": [[1, 2]]}, 422, "no picture"),
        ("/invocations", {"dataframe_split": {"columns": ["x"], "data": [["AAAA"]]}}, 422, "no column 'image'"),
        (INFER, tensor(data=["AAAA"], shape=[2]), 422, "does not hold 2 pictures"),
        (INFER, tensor(data=[1.5], datatype="FP32"), 422, "holds no pictures"),
        (INFER, tensor(data=[0] * 11, datatype="UINT8", shape=[1, 2, 2, 3]), 422, "12 numbers"),
        (INFER, tensor(data=[300] * 12, datatype="UINT8", shape=[1, 2, 2, 3]), 422, "0 to 255"),
        (INFER, tensor(data=[], datatype="UINT8", shape=[-1, 2, 2, 3]), 422, "negative side"),
        (INFER, {"inputs": []}, 422, "one tensor"),
        (INFER, tensor(data=["AAAA"]) | {"parameters": {"binary_data_output": "yes"}}, 422, "neither true nor false"),
        (INFER, tensor(data=["AAAA"]) | {"outputs": [{"name": "x"}]}, 422, "output 'x'"),
        ("/v2/models/other/infer", tensor(data=["AAAA"]), 404, "colours/1"),
        ("/v2/models/colours/versions/2/infer", tensor(data=["AAAA"]), 404, "colours/1"),
        ("/nowhere", {}, 404, "/nowhere"),
    ],
)
def test_what_is_no_request_is_refused_with_a_reason(
    server: httpx.Client, path: str, body: dict, status: int, message: str
) -> None:
    answer = server.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert message in answer.json()["error"]


def test_what_is_no_json_or_of_another_type_is_refused(server: httpx.Client) -> None:
    kind = {"content-type": "application/json"}
    for body in (b"{", b"[" * 100_000, b"\xff\xfe"):
        assert server.post("/predict", content=body, headers=kind).status_code == 422
    for path in ("/predict", "/invocations"):
        answer = server.post(path, content="a,b", headers={"content-type": "text/csv"})
        assert (answer.status_code, "text/csv" in answer.json()["error"]) == (415, True)
    for length in ("9", "-1", "x", "\u00b2", "9" * 5000):
        cut = server.post(INFER, content=b"{}", headers=[(b"inference-header-content-length", length.encode("latin-1"))])
        assert (cut.status_code, "Inference-Header-Content-Length" in cut.json()["error"]) == (422, True)


def test_one_bad_picture_in_a_list_names_itself(server: httpx.Client, picture: Picture) -> None:
    answer = server.post("/predict", json={"images": [text(picture("red")), "####"]})
    assert answer.status_code == 422
    assert "image 2" in answer.json()["error"]


def test_a_body_that_is_too_large_is_cut_off(server: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(50):
            yield b"x" * 1_000_000

    known = server.post("/predict", content=b"x" * 50_000_000)
    assert (known.status_code, "20,000,000" in known.text) == (413, True)
    try:
        unknown = server.post("/predict", content=endless())
    except httpx.WriteError:
        return  # the server closed while we still sent: as good an answer
    assert unknown.status_code == 413


def test_figures_for_prometheus_add_up(server: httpx.Client, picture: Picture) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    def read() -> dict[tuple[str, ...], float]:
        page = server.get("/metrics")
        assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
        families = text_string_to_metric_families(page.text)
        return {
            (sample.name, *sorted(sample.labels.values())): sample.value for family in families for sample in family.samples
        }

    before = read()
    for _ in range(3):
        server.post("/predict", content=picture("blue"))
    server.post("/predict", content=b"no picture")
    after = read()

    def grown(*key: str) -> float:
        return after.get(key, 0) - before.get(key, 0)

    assert grown("modelyard_predictions_total", "blue") == 3
    assert grown("modelyard_requests_total", "200", "plain") == 3
    assert grown("modelyard_requests_total", "422", "plain") == 1
    assert grown("modelyard_batch_pictures_sum") == 4
    assert after["modelyard_workers",] == 1
