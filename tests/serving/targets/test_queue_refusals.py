"""A queue has no statuses: what its worker blames on the picture is told apart from what failed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from registry.errors import InputError, ModelyardError, UnavailableError
from serving.runpod_worker import handler_of
from serving.targets.runpod.requests import EndpointClient
from serving.targets.waiting import Clock


class Predictor:
    """Raises, or predicts."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def get(self) -> Predictor:
        return self

    def predict(self, _: object) -> dict[str, Any]:
        if self.error:
            raise self.error
        return {"label": "a", "probability": 1.0, "probabilities": {"a": 1.0}}


def asked(job: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """A client of a queue in which a job ended so."""
    endpoint = SimpleNamespace(name="hand", id="e", request_urls=SimpleNamespace(base=None, run="r", status="s"))
    client = EndpointClient(SimpleNamespace(headers={}), endpoint, Clock(sleep=lambda _: None), 5.0)  # type: ignore[arg-type]
    answer = SimpleNamespace(status_code=200, is_success=True, json=lambda: {"id": "j", **job})
    monkeypatch.setattr(EndpointClient, "_send", lambda *_, **__: answer)
    return client.ask(b"x")


@pytest.mark.parametrize("status", ["FAILED", "COMPLETED"])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InputError("image", "cannot be decoded", "send one"), InputError),
        (UnavailableError("disk", "is away", "wait"), UnavailableError),
        (RuntimeError("a bug"), UnavailableError),
    ],
)
def test_a_worker_s_error_reaches_a_client_with_its_fault(
    status: str, error: Exception, kind: type[ModelyardError], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = handler_of(Predictor(error))({"input": {"image": "aGFuZA=="}})
    job = {"status": "FAILED", "error": output["error"]} if status == "FAILED" else {"status": status, "output": output}
    with pytest.raises(kind) as caught:
        asked(job, monkeypatch)
    assert isinstance(caught.value, InputError) is (kind is InputError)


def test_a_prediction_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    output = handler_of(Predictor(None))({"input": {"image": "aGFuZA=="}})
    assert asked({"status": "COMPLETED", "output": output}, monkeypatch) == {"a": 1.0}
    for job in ({"status": "CANCELLED"}, {"status": "COMPLETED"}, {"status": "COMPLETED", "output": []}):
        with pytest.raises(UnavailableError):
            asked(job, monkeypatch)
