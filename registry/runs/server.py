"""An MLflow server's runs over HTTP: by what changed where the server can tell, by searching where it cannot.

MLflow's own client is not used: importing it takes seconds, and it makes five objects of each metric.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple, Self

import httpx
import msgspec

from registry.address import redact_login
from registry.errors import ModelyardError, UnavailableError
from registry.runs.rows import RunRow, display_params, display_tags, split_metrics

FEED = "api/2.0/modelyard/runs"
"""What our app adds to an MLflow server; `registry.mlflow.server.feed` answers."""

Page = list[tuple[str, RunRow]]
"""Runs, each with its digest."""

_API = "api/2.0/mlflow"
_PAGE = 1000
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_NO_FEED = {403, 404, 405}
_UNFINISHED = ("RUNNING", "SCHEDULED")
_NEWEST = ["attributes.start_time DESC"]


class RunChanges(NamedTuple):
    """What changed at a server. `kept` are the runs that are there and not in `pages`; None where that is unknown."""

    token: str
    pages: Iterator[Page]
    kept: Collection[str] | None = ()
    total: int | None = None


class _Digests(msgspec.Struct):
    token: str
    digests: dict[str, str]


class _Rows(msgspec.Struct):
    runs: list[RunRow]


class RunServer:
    """Reads runs. A user and a password or a token come from the address or from MLflow's own variables."""

    def __init__(self, uri: str) -> None:
        """No request is made yet."""
        self._uri = redact_login(uri).rstrip("/")
        self._http = httpx.Client(base_url=uri, timeout=_TIMEOUT, auth=_auth(uri), headers=_headers(), verify=_verify())

    def __enter__(self) -> Self:
        """Keep the connection open for the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._http.close()

    def changes(self, known: Mapping[str, str], token: str, *, whole: bool) -> RunChanges | None:
        """What differs from the digests that are known; None where the server says that nothing was written since `token`.

        `whole` matters for servers that cannot tell what changed: all runs, or the newest and the unfinished.
        """
        answer = self._ask("GET", FEED, headers={"If-None-Match": f'"{token}"'} if token else {})
        if answer.status_code == httpx.codes.NOT_MODIFIED:
            return None
        if answer.status_code in _NO_FEED:
            return self._search(known, whole=whole)
        answered = self._read(answer, _Digests)
        fresh = [run_id for run_id, digest in answered.digests.items() if known.get(run_id) != digest]
        kept = answered.digests.keys() - set(fresh)
        return RunChanges(answered.token, self._fetch(fresh, answered.digests), kept, len(fresh))

    def curve(self, run_id: str, metric: str) -> list[tuple[int, int, float]]:
        """A metric's (step, milliseconds, value) in order; values that are not finite are left out."""
        curve, page = list[tuple[int, int, float]](), ""
        while True:
            query = {"run_id": run_id, "metric_key": metric, "max_results": "25000"} | ({"page_token": page} if page else {})
            answer = self._mlflow("GET", "metrics/get-history", params=query)
            points = [
                (int(point.get("step", 0)), int(point["timestamp"]), float(point["value"]))
                for point in answer.get("metrics", [])
            ]
            curve += [point for point in points if isfinite(point[2])]
            page = answer.get("next_page_token", "")
            if not page:
                return sorted(curve)

    def _fetch(self, ids: Sequence[str], digests: Mapping[str, str]) -> Iterator[Page]:
        """The rows of what changed. A run that went away meanwhile is left out."""
        for start in range(0, len(ids), _PAGE):
            rows = self._read(self._ask("POST", FEED, json={"ids": ids[start : start + _PAGE]}), _Rows).runs
            yield [(digests[row.run_id], row) for row in rows]

    def _search(self, known: Mapping[str, str], *, whole: bool) -> RunChanges:
        """By MLflow's own search: everything, or the newest down to a page of known ones, and what is unfinished."""
        names = self._experiments()
        if whole:
            return RunChanges("", self._pages(names, ""))
        return RunChanges("", self._recent(names, known), None)

    def _recent(self, names: Mapping[str, str], known: Mapping[str, str]) -> Iterator[Page]:
        for page in self._pages(names, ""):
            yield page
            if all(row.run_id in known for _, row in page):
                break
        for status in _UNFINISHED:
            yield from self._pages(names, f"attributes.status = '{status}'")

    def _experiments(self) -> dict[str, str]:
        names, page = dict[str, str](), ""
        while True:
            asked = {"max_results": _PAGE, "view_type": "ACTIVE_ONLY"} | ({"page_token": page} if page else {})
            answer = self._mlflow("POST", "experiments/search", json=asked)
            names |= {experiment["experiment_id"]: experiment["name"] for experiment in answer.get("experiments", [])}
            page = answer.get("next_page_token", "")
            if not page:
                return names

    def _pages(self, names: Mapping[str, str], condition: str) -> Iterator[Page]:
        page = ""
        asked = {"experiment_ids": list(names), "max_results": _PAGE, "order_by": _NEWEST, "filter": condition}
        while names:
            answer = self._mlflow("POST", "runs/search", json=asked | ({"page_token": page} if page else {}))
            rows = [_row(names, run) for run in answer.get("runs", [])]
            yield [(row.digest, row) for row in rows]
            page = answer.get("next_page_token", "")
            if not page:
                return

    def _mlflow(self, method: str, path: str, **asked: Any) -> dict[str, Any]:
        answer = self._ask(method, f"{_API}/{path}", **asked)
        return dict(self._read(answer, dict[str, Any]))

    def _ask(self, method: str, path: str, **asked: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **asked)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unavailable(f"does not answer ({type(error).__name__})") from None

    def _read(self, answer: httpx.Response, kind: Any) -> Any:
        if answer.status_code != httpx.codes.OK:
            raise self._unavailable(f"answered {answer.status_code}")
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except msgspec.MsgspecError as error:
            raise ModelyardError(
                f"MLflow server {self._uri}", "does not answer as MLflow does", "check MODELYARD_MLFLOW_URI"
            ) from error

    def _unavailable(self, why: str) -> UnavailableError:
        login = "check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" if why.endswith("401") else ""
        return UnavailableError(f"MLflow server {self._uri}", why, login or "start it with `modelyard up`")


def _row(names: Mapping[str, str], run: dict[str, Any]) -> RunRow:
    """A run as MLflow's search returns it."""
    info, data = run["info"], run.get("data", {})
    good, odd = split_metrics({metric["key"]: float(metric.get("value", 0.0)) for metric in data.get("metrics", [])})
    ended = int(info.get("end_time") or 0)
    return RunRow(
        run_id=info["run_id"],
        experiment_id=info["experiment_id"],
        experiment=names[info["experiment_id"]],
        name=info.get("run_name") or info["run_id"][:8],
        status=info.get("status", ""),
        started_ms=int(info.get("start_time") or 0),
        ended_ms=ended or None,
        metrics=good,
        params=display_params(_pairs(data.get("params", []))),
        tags=display_tags(_pairs(data.get("tags", []))),
        odd=odd,
    )


def _pairs(pairs: Sequence[dict[str, str]]) -> dict[str, str]:
    return {pair["key"]: pair.get("value", "") for pair in pairs}


def _auth(uri: str) -> tuple[str, str] | None:
    """A user and a password of MLflow's own variables; those in the address are used by themselves."""
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    if not user or httpx.URL(uri).userinfo:
        return None
    return user, os.environ.get("MLFLOW_TRACKING_PASSWORD", "")


def _headers() -> dict[str, str]:
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    named = os.environ.get("MLFLOW_TRACKING_USERNAME")
    return {"Authorization": f"Bearer {token}"} if token and not named else {}


def _verify() -> Any:
    """Which certificates count, by MLflow's own variables."""
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in {"1", "true"}:
        return False
    return os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True
