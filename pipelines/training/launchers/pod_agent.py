"""What runs in a pod: takes the data, trains in a child process, hands out its lines and the model, and ends its own pod.

    GET  /lines?after=N         what it does, and the child's lines from the N-th on
    PUT  /data?offset=N         a piece of the archive with the data, up to 16 MiB; 409 with what is here already
    POST /train                 {"sha256", "bytes", "job", "deadline"}: train on it; a second time is as good
    GET  /model?offset=N        a piece of the archive with the model

Each request carries the launch's token. It knows no MLflow and no ledger, and it has no test split: that is scored at home.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import SecretStr

from pipelines.training.launchers.archives import PIECE, Archive, Receiver, pack_folder, unpack
from pipelines.training.launchers.pod_switch import Switch
from registry.errors import ModelyardError, describe

State = Literal["waiting", "training", "finished", "failed"]
Reply = tuple[int, bytes]
_LINES_AT_ONCE = 2000
DATA = "data:"
"""How a job names a file that travelled with the data: its path here is not known where the job is written."""


class Runner(Protocol):
    """Runs one training."""

    def start(self, job: Mapping[str, Any], folder: Path) -> None:
        """Start it; what it writes lies below the folder."""
        ...

    def poll(self) -> tuple[list[str], int | None]:
        """New lines of its standard output, and its exit code once it has ended and all lines are out."""
        ...

    def stop(self) -> None:
        """End it now, if it runs."""
        ...

    def tail(self) -> str:
        """The end of what it printed besides."""
        ...


@dataclass
class PodAgent:
    """The agent without its socket. `folder` is its disk."""

    folder: Path
    token: SecretStr
    switch: Switch
    runner: Runner
    state: State = "waiting"
    detail: str = ""
    lines: list[str] = field(default_factory=list[str])
    model: Archive | None = None

    def __post_init__(self) -> None:
        """What came before a restart of the container is on its disk."""
        self._data = Receiver(self.folder / "data.tar")
        self._digest = ""
        self._routes: dict[tuple[str, str], Callable[[Mapping[str, str], bytes], Reply]] = {
            ("GET", "/lines"): self._follow,
            ("PUT", "/data"): self._take,
            ("POST", "/train"): self._train,
            ("GET", "/model"): self._hand_out,
        }

    def handle(self, method: str, path: str, query: Mapping[str, str], token: str, body: bytes) -> Reply:
        """Answer a request. Only one with the token counts as somebody asking."""
        if not hmac.compare_digest(token.encode(), self.token.get_secret_value().encode()):
            return _say(401, "the token is wrong")
        self.switch.contact()
        route = self._routes.get((method, path))
        if route is None:
            return _say(404, "no such address")
        try:
            return route(query, body)
        except (ModelyardError, KeyError, TypeError, ValueError, OSError) as error:
            return _say(422, describe(error))

    def look(self) -> None:
        """See how the training goes, and end it when the pod's time is over. `switch.tick` then ends the pod."""
        self._poll()
        if self.switch.due:
            self.runner.stop()

    def _follow(self, query: Mapping[str, str], _: bytes) -> Reply:
        self._poll()
        after = _number(query, "after")
        lines = self.lines[after : after + _LINES_AT_ONCE]
        document: dict[str, Any] = {"state": self.state, "detail": self.detail, "lines": lines, "received": self._data.received}
        document["more"] = len(self.lines) > after + len(lines)
        document["protected"] = self.switch.protected
        if self.model:
            document["model"] = {"sha256": self.model.sha256, "bytes": self.model.size}
        return 200, json.dumps(document).encode()

    def _take(self, query: Mapping[str, str], body: bytes) -> Reply:
        if len(body) > PIECE:
            return _say(413, f"a piece has {PIECE} bytes at most")
        taken = self.state == "waiting" and self._data.take(_number(query, "offset"), body)
        return (200 if taken else 409), json.dumps({"received": self._data.received}).encode()

    def _train(self, _: Mapping[str, str], body: bytes) -> Reply:
        order = json.loads(body)
        self.switch.bring_forward(float(order["deadline"]))
        if self.state != "waiting":
            return (200, b"{}") if order["sha256"] == self._digest else _say(409, "it trains on something else")
        if self.switch.protected is not True:
            return _say(403 if self.switch.protected is False else 503, self.switch.why_not or "not known yet")
        data = self.folder / "data"
        unpack(Archive(self._data.path, order["sha256"], order["bytes"]), data)
        into = self.folder / "trained"
        into.mkdir(exist_ok=True)
        paths = {"data": str(data), "into": str(into), "checkpoints": str(self.folder / "checkpoints")}
        (self.folder / "checkpoints").mkdir(exist_ok=True)
        self.runner.start({**_with_paths(order["job"], data), **paths}, self.folder)
        self.state, self._digest = "training", order["sha256"]
        return 200, b"{}"

    def _hand_out(self, query: Mapping[str, str], _: bytes) -> Reply:
        return (200, self.model.piece(_number(query, "offset"))) if self.model else _say(409, "there is no model yet")

    def _poll(self) -> None:
        if self.state != "training":
            return
        lines, code = self.runner.poll()
        self.lines += lines
        if code is None:
            return
        try:
            self._finish(code)
        except (ModelyardError, OSError, ValueError) as error:
            self.state, self.detail = "failed", describe(error)

    def _finish(self, code: int) -> None:
        """Pack what the child says it has left, or keep what it printed last."""
        fitted = _fitted(self.lines)
        if code or fitted is None:
            self.state, self.detail = "failed", f"training ended with {code}: {self.runner.tail()}"
            return
        into = self.folder / "trained"
        parts = [into / name for name in (fitted["folder"], fitted.get("extras")) if name]
        if missing := [part for part in parts if not part.is_dir()]:
            raise ModelyardError("training", f"says that it left {missing[0].name}, and did not", self.runner.tail())
        self.model = pack_folder(self.folder / "model.tar", into, parts)
        self.state = "finished"


def _fitted(lines: list[str]) -> dict[str, Any] | None:
    """The child's last line, where it says that it went well."""
    for line in reversed(lines[-3:]):
        try:
            fields = json.loads(line)
        except ValueError:
            continue
        if isinstance(fields, dict) and fields.get("line") == "fitted":
            return fields
    return None


def _with_paths(value: Any, data: Path) -> Any:
    """A job whose files of the data are named by where they lie here."""
    if isinstance(value, dict):
        return {name: _with_paths(inner, data) for name, inner in value.items()}
    return str(data / value.removeprefix(DATA)) if isinstance(value, str) and value.startswith(DATA) else value


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "0")
    return int(text) if text.isdigit() else 0


def _say(status: int, text: str) -> Reply:
    return status, json.dumps({"detail": text}).encode()
