"""Pods, secrets, the catalogue and the bill as resources: what each address does once a request is let through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from serving.fakes.clock import stamp
from serving.fakes.plain import Answer, Ask, json_answer, refuse
from serving.fakes.runpod.logs import backfill
from serving.fakes.runpod.paging import Paging
from serving.fakes.runpod.pods.check import broken_rule, invalid, invalid_change, invalid_secret, invalid_secret_change, missing
from serving.fakes.runpod.pods.state import CPU_USD, PodCloud, SimPod

_ACTIONS = {
    "RUNNING": ("stop", "restart", "terminate"),
    "EXITED": ("start", "terminate"),
    "ERROR": ("start", "terminate"),
    "PROVISIONING": ("stop", "terminate"),
    "STARTING": ("stop", "terminate"),
    "TERMINATED": (),
}
NO_CAPACITY = "There are no longer any instances available with the requested specifications. Please refresh and try again."


@dataclass
class Resources:
    """What the account holds. `suffix` is added to each pod's name; the strangers of a list are the pods of clusters."""

    cloud: PodCloud
    paging: Paging = field(default_factory=Paging)
    suffix: str = ""

    def answer(self, ask: Ask, fate: str) -> Answer:
        """A request that is let through."""
        kind, _, number = ask.path.removeprefix("/v2/").partition("/")
        if kind == "pods":
            return self._pods(ask, number, fate)
        if kind == "account" and number.split("/")[0] == "secrets":
            return self._secrets(ask, number.removeprefix("secrets").strip("/"))
        if kind == "catalog" and ask.method == "GET":
            return self._gpus(ask)
        if (kind, number) == ("billing", "pods") and ask.method == "GET":
            return self._bills(ask.query)
        return refuse(404, "The requested path was not found.")

    def _pods(self, ask: Ask, rest: str, fate: str) -> Answer:
        number, _, tail = rest.partition("/")
        if not number:
            return self._create(ask.json, fate) if ask.method == "POST" else self._list(ask.query)
        pod = self.cloud.pods.get(number)
        return refuse(404, "no such pod") if pod is None else self._of_pod(pod, tail, ask)

    def _of_pod(self, pod: SimPod, tail: str, ask: Ask) -> Answer:
        match ask.method, tail:
            case "POST", "action":
                return self._act(pod, ask.json)
            case "GET", "logs":
                return self._logs(pod, ask)
            case "GET", "":
                return json_answer(self.shown(pod))
            case "PATCH", "":
                return self._change(pod, ask.json)
            case "DELETE", "":
                self.cloud.terminate(pod)
                return Answer(204)
            case _:
                return refuse(404, "The requested path was not found.")

    def _change(self, pod: SimPod, body: Any) -> Answer:
        """Only what is sent changes, and a change of what its container sees starts that container again."""
        if errors := invalid_change(body):
            return refuse(422, "Request validation failed.", errors)
        if body.get("templateId"):
            return refuse(404, "no such template")
        if "mounts" in body and body["mounts"] and body["mounts"] != pod.spec.get("mounts"):
            return refuse(400, "a pod's mounts cannot be replaced")
        restarts = any(name in body for name in ("image", "args", "env", "entrypoint", "cmd", "ports"))
        if restarts and pod.container:
            pod.container.kill()
            pod.container = None
        pod.spec = pod.spec | body
        return json_answer(self.shown(pod))

    def _logs(self, pod: SimPod, ask: Ask) -> Answer:
        """What its host says of it, as a stream that stays open."""
        now = self.cloud.clock.now()
        steps = [(pod.created, "create container"), (pod.created + self.cloud.placed_s, f"pulling {pod.spec.get('image', '')}")]
        steps += [(pod.ready, "start container")] if pod.container else []
        seen = [step for step in steps if step[0] <= now]
        events = backfill(seen, ask.query, ask.headers.get("last-event-id"), source="system")
        if isinstance(events, str):
            return refuse(422, "Request validation failed.", [events])
        return Answer(200, "".join(events).encode(), {"content-type": "text/event-stream"}, stays_open=True)

    def _create(self, body: Any, fate: str) -> Answer:
        if errors := invalid(body):
            return refuse(422, "Request validation failed.", errors)
        if detail := broken_rule(body) or missing(body, self.cloud.volumes):
            return refuse(400, detail)
        if "templateId" in body:
            return refuse(404, "no such template")
        usd = self._price(body)
        if usd is None:
            return refuse(400, NO_CAPACITY)
        if self.cloud.balance - sum(pod.billed(self.cloud.clock.now()) for pod in self.cloud.pods.values()) < usd:
            return refuse(402, "the account's balance does not pay for an hour")
        pod = self.cloud.create(body | {"name": body["name"] + self.suffix}, usd, fate)
        return json_answer(self.shown(pod), 201)

    def _price(self, body: Mapping[str, Any]) -> float | None:
        """US dollars an hour; None without capacity, or without a count, which matches no machine."""
        if "cpu" in body:
            return body["cpu"]["vcpuCount"] * CPU_USD
        offer, count = self.cloud.offers.get(body["gpu"]["id"]), body["gpu"].get("count")
        if offer is None or count is None or offer.stock == "NONE":
            return None
        usd = offer.secure if body.get("cloud", "SECURE") == "SECURE" else offer.community
        return usd * count or None

    def _list(self, query: Mapping[str, str]) -> Answer:
        """Newest first, in pages. A cursor is valid for the parameters that it was given for."""
        page = self.paging.page("listPods", list(self.cloud.listed()), query, ("includeClusterPods",))
        if page.errors:
            return refuse(422, "Request validation failed.", page.errors)
        return json_answer({"pods": [self.shown(pod) for pod in page.rows], "pagination": page.pagination})

    def _act(self, pod: SimPod, body: Any) -> Answer:
        action = body.get("action") if isinstance(body, dict) else None
        if action not in {"start", "stop", "restart", "terminate"} or len(body) > 1:
            return refuse(
                422, "Request validation failed.", ["$.action: value must be one of 'start', 'stop', 'restart', 'terminate'"]
            )
        if action not in _ACTIONS[pod.status(self.cloud.clock.now(), self.cloud.placed_s)]:
            return refuse(409, f"the pod cannot {action} now")
        if action == "terminate":
            self.cloud.terminate(pod)
            return Answer(204)
        if pod.container:
            pod.container.kill()
        pod.container, pod.failed = None, action == "stop"
        return json_answer(self.shown(pod))

    def _secrets(self, ask: Ask, number: str) -> Answer:
        kept = self.cloud.secrets
        if not number:
            return self._create_secret(ask.json) if ask.method == "POST" else self._list_secrets(ask.query)
        if number not in kept:
            return refuse(404, "no such secret")
        if ask.method == "DELETE":
            del kept[number]
            return Answer(204)
        if ask.method == "PATCH":
            if errors := invalid_secret_change(ask.json):
                return refuse(422, "Request validation failed.", errors)
            kept[number] |= ask.json | {"valueLastUpdatedAt": stamp(self.cloud.clock.now())}
        return json_answer(_secret(kept[number]))

    def _list_secrets(self, query: Mapping[str, str]) -> Answer:
        name, rows = query.get("name", "").lower(), self.cloud.secrets.values()
        return json_answer({"secrets": [_secret(row) for row in rows if name in {"", row["name"].lower()}]})

    def _create_secret(self, body: Any) -> Answer:
        kept = self.cloud.secrets
        if errors := invalid_secret(body):
            return refuse(422, "Request validation failed.", errors)
        if any(row["name"] == body["name"] for row in kept.values()):
            return refuse(409, "that name is taken")
        number = self.cloud.number("sec")
        kept[number] = body | {"id": number, "createdAt": stamp(self.cloud.clock.now())}
        return json_answer(_secret(kept[number]), 201)

    def _gpus(self, ask: Ask) -> Answer:
        rows = [
            {
                "id": name,
                "name": name.removeprefix("NVIDIA ").removeprefix("GeForce "),
                "pool": None,
                "manufacturer": "NVIDIA",
                "memory": offer.memory,
                "secure": offer.secure > 0,
                "community": offer.community > 0,
                "price": {"secure": offer.secure, "community": offer.community},
                "maxCount": {"secure": 8, "community": 8},
            }
            | ({"availability": offer.stock} if ask.query.get("include") == "AVAILABILITY" else {})
            for name, offer in self.cloud.offers.items()
        ]
        return json_answer({"gpus": rows})

    def _bills(self, query: Mapping[str, str]) -> Answer:
        """One record for each pod, over its whole life."""
        now, wanted = self.cloud.clock.now(), query.get("podId")
        rows = [
            {"podId": pod.id, "startTime": stamp(pod.created), "endTime": stamp(pod.ended or now)}
            | {"totalAmount": pod.billed(now), "gpuAmount": pod.billed(now), "cpuAmount": 0.0, "diskAmount": 0.0}
            for pod in [*self.cloud.pods.values(), *self.cloud.gone]
            if wanted in {None, pod.id}
        ]
        names = ("totalAmount", "gpuAmount", "cpuAmount", "diskAmount")
        totals = {name: sum(float(str(row[name])) for row in rows) for name in names}
        span = {"startTime": stamp(now - 30 * 86_400), "endTime": stamp(now), "bucketSize": query.get("bucketSize", "day")}
        metadata = {"query": span | {"podId": wanted}, "recordCount": len(rows), "uniquePodCount": len(rows), "totals": totals}
        return json_answer({"records": rows, "metadata": metadata})

    def shown(self, pod: SimPod) -> dict[str, Any]:
        """A pod, as the API shows it."""
        now, spec = self.cloud.clock.now(), pod.spec
        status = pod.status(now, self.cloud.placed_s)
        running = status == "RUNNING" and pod.container is not None
        names = [port.split("/") for port in spec.get("ports", ())]
        ports = [{"private": int(port), "public": None, "type": kind, "ip": "100.65.0.1"} for port, kind in names]
        blank: dict[str, Any] = {"args": "", "disk": 20, "mounts": {}, "ports": [], "env": {}, "registry": None}
        unit = (
            {"gpu": {"id": spec["gpu"]["id"], "count": spec["gpu"].get("count", 1), "vcpuCount": 8.0, "memory": 32.0}}
            if "gpu" in spec
            else {"cpu": spec["cpu"] | {"memory": 4}}
        )
        taken = {name: value for name, value in spec.items() if name in {*blank, "name", "image", "cloud", "entrypoint", "cmd"}}
        return (
            {"cloud": "SECURE", **blank, **taken, **unit}
            | {"id": pod.id, "status": status, "actions": list(_ACTIONS[status]), "cost": pod.usd_per_hour}
            | {"dataCenterId": next(iter(spec.get("dataCenterIds", ())), "EU-RO-1"), "cudaVersion": "12.8"}
            | {"ssh": {"proxy": None, "direct": None}, "template": None, "locked": False}
            | {"globalNetworking": {"enabled": False}, "createdAt": stamp(pod.created)}
            | {"startedAt": stamp(pod.ready) if running else None}
            | {"runtime": {"uptime": int(now - pod.ready), "gpus": [], "ports": ports} if running else None}
        )


def _secret(row: Mapping[str, Any]) -> dict[str, Any]:
    """Its value never comes back."""
    shown = {name: row[name] for name in ("id", "name", "createdAt")}
    return shown | {name: row.get(name) for name in ("description", "valueLastUpdatedAt")}
