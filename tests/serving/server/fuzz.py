"""Mutated image files through every server and handler: `make fuzz`, or a few of them in the tests.

What is proved: each request is answered with a prediction or a refusal of 4xx in the documented form; no worker ends; and
all protocols decide alike about the same file.
"""

from __future__ import annotations

import base64
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "bundle")]
from attacks import PROTOCOLS, by_every_protocol, parts
from endpoints import Served
from image_files import mutations

from registry.errors import InputError

Ask = Callable[[bytes], bool]


def over_http(client: httpx.Client, sent: bytes) -> bool:
    """Whether a request, written out as bytes, is answered with a prediction."""
    path, body, headers = parts(sent)
    answer = client.post(path, content=body, headers=headers)
    if answer.status_code == httpx.codes.OK:
        return True
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY, answer.text
    assert set(answer.json()) == {"error", "request_id"}
    return False


def handlers(folder: Path) -> dict[str, Ask]:
    """The handlers of RunPod's queue and of Hugging Face, in this process."""
    from serving.inference.standalone import StandalonePredictor
    from serving.runpod_worker import handler_of
    from serving.targets.huggingface.handler import EndpointHandler

    class Loaded:
        def get(self) -> StandalonePredictor:
            return predictor

    predictor = StandalonePredictor(folder)
    queue, endpoint = handler_of(Loaded()), EndpointHandler(str(folder))

    def runpod(data: bytes) -> bool:
        answer = queue({"input": {"image": base64.b64encode(data).decode()}})
        assert "prediction failed" not in answer.get("error", ""), answer
        return "label" in answer

    def huggingface(data: bytes) -> bool:
        try:
            return bool(endpoint({"inputs": data}))
        except InputError:
            return False

    return {"RunPod": runpod, "Hugging Face": huggingface}


def fuzz(server: Served, folder: Path, seed: int, count: int) -> Counter[str]:
    """Send that many files everywhere; what became of them. Raises AssertionError with the file that was not dealt with."""
    outcomes, workers = Counter[str](), [worker.pid for worker in server.workers]
    asks = handlers(folder)
    with httpx.Client(base_url=server.url, timeout=60) as client, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, data in enumerate(mutations(seed, count)):
            try:
                decided: dict[str, Any] = {
                    name: over_http(client, sent) for name, sent in zip(PROTOCOLS, by_every_protocol(data), strict=True)
                }
                decided |= {name: ask(data) for name, ask in asks.items()}
                assert len(set(decided.values())) == 1, decided
            except Exception as error:
                raise AssertionError(f"seed {seed}, file {number}: {data.hex()}") from error
            outcomes["decoded" if decided["image"] else "refused"] += 1
    assert [worker.pid for worker in server.workers] == workers, "a worker ended"
    return outcomes
