"""The typed client against a real endpoint: the same answer as Python's, and refusals in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from compiled import ask_node
from endpoints import served

KEY = "a-key-of-tests"
ASK = """
const { Client } = await import(`${DIST}/index.js`);
const answers = [];
for (const { url, key, bytes } of data) {
  const client = new Client(url, key === null ? {} : { key });
  answers.push(await client.predict(Uint8Array.from(bytes)).catch(({ kind, subject, expectation, remedy }) => (
    { error: { kind, subject, expectation, remedy } })));
}
console.log(JSON.stringify(answers));
"""


@pytest.fixture(scope="module")
def endpoint(make_bundle: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    """Its URL, and the bundle that it serves."""
    bundle = make_bundle(tmp_path_factory.mktemp("client") / "bundle")
    with served(bundle.folder, MODELYARD_API_KEY=KEY) as server:
        yield server.url, bundle


def test_it_answers_as_the_endpoint_does_and_refuses_in_one_line(
    endpoint: tuple[str, Any], picture: Callable[..., bytes], tmp_path: Path
) -> None:
    from serving.inference.predictor import Predictor

    url, bundle = endpoint
    image = picture("green")
    asked = [(f"{url}/", KEY, image), (url, None, image), (url, KEY, b"no image"), ("http://127.0.0.1:9", KEY, image)]
    given = [{"url": address, "key": key, "bytes": list(data)} for address, key, data in asked]
    answer, no_key, no_image, away = ask_node(tmp_path, ASK, given)
    (expected,) = Predictor(bundle).predict([image])
    assert answer["label"] == expected.label == "green"
    assert answer["probabilities"] == pytest.approx(expected.probabilities, abs=1e-6)
    assert (answer["model"], answer["version"], answer["bundle"]) == ("colours", 1, bundle.index.digest)
    assert no_key["error"]["kind"] == "input"
    assert "answers 401" in no_key["error"]["expectation"]
    assert no_image["error"]["kind"] == "input"
    assert "answers 422" in no_image["error"]["expectation"]
    assert away["error"] == {
        "kind": "unavailable",
        "subject": "http://127.0.0.1:9/predict",
        "expectation": "does not answer",
        "remedy": "check the network and the address, and try again",
    }


def test_the_types_are_those_of_the_openapi_document() -> None:
    """The fields of each record as `docs/openapi.json` has them, the optional ones with a question mark."""
    import json
    import re

    root = Path(__file__).parents[3]
    schemas = json.loads((root / "docs" / "openapi.json").read_text())["components"]["schemas"]
    sources = {"PlainAnswer": ("client.ts", "RemotePrediction"), "Box": ("predictor.ts", "Box")}
    for name, (file, interface) in sources.items():
        text = (root / "serving" / "browser" / "src" / file).read_text()
        (body,) = re.findall(rf"export interface {interface} {{\n(.*?)\n}}", text, re.DOTALL)
        fields = set(re.findall(r"readonly (\w+\??):", body))
        required = set(schemas[name]["required"])
        assert fields == {field if field in required else f"{field}?" for field in schemas[name]["properties"]}
