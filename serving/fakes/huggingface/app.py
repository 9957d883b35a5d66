"""Hugging Face's addresses: the Hub's, the Inference Endpoints' control plane below /ie-api, the endpoints' own below /ie."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serving.fakes.clock import VirtualClock
from serving.fakes.faults import Faults
from serving.fakes.http import Cut
from serving.fakes.huggingface import hardware
from serving.fakes.huggingface.check import problems
from serving.fakes.huggingface.state import Account, Commit, Endpoint, Repository
from serving.fakes.runpod.state import Program

Handler = Callable[[Request], Awaitable[Response]]
_ANY = frozenset({"429", "500", "503", "dropped"})
_CHANGES = _ANY | {"402", "403", "lost"}
_KINDS = {"GET": _ANY, "DELETE": _CHANGES, "POST": _CHANGES | {"stuck", "unhealthy"}, "PUT": _CHANGES | {"unhealthy"}}
KINDS = frozenset().union(*_KINDS.values())
"""Every kind of fault."""


@dataclass
class HuggingFaceDouble:
    """An account whose token is `token`."""

    account: Account
    faults: Faults
    token: str
    role: str = "write"

    @property
    def app(self) -> Starlette:
        """The HTTP app."""
        paths: list[tuple[str, str, Handler]] = [
            ("GET", "/api/whoami-v2", self.who),
            ("POST", "/api/repos/create", self.create),
            ("POST", "/api/validate-yaml", self.validate),
            ("GET", "/api/{kind}s/{owner}/{name}", self.info),
            ("GET", "/api/{kind}s/{owner}/{name}/revision/{revision}", self.info),
            ("GET", "/api/{kind}s/{owner}/{name}/commits/{revision}", self.commits),
            ("POST", "/api/{kind}s/{owner}/{name}/preupload/{revision}", self.preupload),
            ("POST", "/api/{kind}s/{owner}/{name}/commit/{revision}", self.commit),
            ("POST", "/{owner}/{name}.git/info/lfs/objects/batch", self.lfs),
            ("POST", "/spaces/{owner}/{name}.git/info/lfs/objects/batch", self.lfs),
            ("PUT", "/lfs/{oid}", self.upload),
            ("GET", "/{owner}/{name}/resolve/{revision}/{path:path}", self.resolve),
            ("GET", "/spaces/{owner}/{name}/resolve/{revision}/{path:path}", self.resolve),
            ("GET", "/api/jobs/hardware", hardware.jobs),
            ("GET", "/ie-api/provider/{owner}", hardware.endpoints),
            ("GET", "/ie-api/endpoint/{owner}", self.endpoints),
            ("POST", "/ie-api/endpoint/{owner}", self.deploy),
            ("GET", "/ie-api/endpoint/{owner}/{name}", self.endpoint),
            ("PUT", "/ie-api/endpoint/{owner}/{name}", self.update),
            ("DELETE", "/ie-api/endpoint/{owner}/{name}", self.delete),
            ("GET", "/ie-api/endpoint/{owner}/{name}/logs", self.logs),
            ("POST", "/ie/{name}", self.predict),
            ("POST", "/ie/{name}/predict", self.predict),
        ]
        return Starlette(routes=[Route(path, self._guarded(handler), methods=[method]) for method, path, handler in paths])

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            path = request.url.path
            open_ = path.startswith("/lfs/") or self._public(request)  # an upload's address is its own permission
            if not open_ and request.headers.get("Authorization") != f"Bearer {self.token}":
                return _no(401, "Invalid credentials in Authorization header")
            fault = self.faults.next(f"{request.method} {path}", _KINDS[request.method])
            if fault == "dropped":
                return Cut()
            if fault == "429":
                return JSONResponse({"error": "slow down"}, 429, {"Retry-After": "2"})
            if fault in {"402", "403", "500", "503"}:
                return _no(int(fault), "as this double was told")
            request.state.fault = fault
            answer = await handler(request)
            return Cut() if fault == "lost" else answer

        return guarded

    def _public(self, request: Request) -> bool:
        repository, _ = self._of(request) if "/resolve/" in request.url.path else (None, None)
        return repository is not None and not repository.private

    async def who(self, _: Request) -> Response:
        """GET /api/whoami-v2."""
        auth = {"type": "access_token", "accessToken": {"displayName": "double", "role": self.role}}
        return JSONResponse({"type": "user", "name": self.account.owner, "canPay": True, "orgs": [], "auth": auth})

    async def create(self, request: Request) -> Response:
        """POST /api/repos/create."""
        body = json.loads(await request.body())
        owner, kind = body.get("organization") or self.account.owner, body.get("type", "model")
        if owner != self.account.owner:
            return _no(403, f"You don't have the rights to create a {kind} under the namespace {owner}")
        if kind == "space" and body.get("sdk") != "static":
            return _no(402, "only static Spaces are free")
        id_ = f"{owner}/{body['name']}"
        known = self.account.repositories
        address = f"{self.account.url}/{'spaces/' if kind == 'space' else ''}{id_}"
        if (kind, id_) in known:
            return JSONResponse({"error": "You already created this repo", "url": address}, 409)
        private = bool(body.get("private")) or body.get("visibility") == "private"
        known[(kind, id_)] = Repository(id_, kind, private)
        self.account.commit(known[(kind, id_)], {".gitattributes": self.account.keep(b"*.onnx filter=lfs\n")})
        return JSONResponse({"url": address, "name": id_, "id": id_})

    async def validate(self, request: Request) -> Response:
        """POST /api/validate-yaml."""
        document = json.loads(await request.body())
        front = document["content"].startswith("---\n")
        return JSONResponse({"errors": [] if front else [{"message": "no metadata"}], "warnings": []}, 200 if front else 400)

    async def info(self, request: Request) -> Response:
        """GET /api/models/ID: what is there now, or was at a commit."""
        repository, commit = self._of(request)
        if repository is None or commit is None:
            return _missing()
        siblings = [{"rfilename": name} for name in sorted(commit.files)]
        return JSONResponse(
            {"id": repository.id, "sha": commit.oid, "private": repository.private, "siblings": siblings, "tags": []}
        )

    async def commits(self, request: Request) -> Response:
        """GET /api/models/ID/commits/REV: the newest first."""
        repository, commit = self._of(request)
        if repository is None or commit is None:
            return _missing()
        known = repository.commits[: repository.commits.index(commit) + 1]
        fields = {"message": "", "authors": [{"user": self.account.owner}], "date": "2026-01-01T00:00:00.000Z"}
        return JSONResponse([{"id": each.oid, "title": each.title} | fields for each in reversed(known)])

    async def preupload(self, request: Request) -> Response:
        """POST …/preupload/REV: which files go which way."""
        repository, commit = self._of(request)
        if repository is None or commit is None:
            return _missing()
        files = json.loads(await request.body())["files"]
        uploads = list[dict[str, Any]]()
        for file in files:
            lfs, oid = _large(file["path"]), commit.files.get(file["path"])
            here = {} if oid is None else {"oid": oid if lfs else _git_oid(self.account.blobs[oid])}
            uploads.append({"path": file["path"], "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False} | here)
        return JSONResponse({"files": uploads})

    async def lfs(self, request: Request) -> Response:
        """POST ….git/info/lfs/objects/batch."""
        batch = json.loads(await request.body())
        objects = list[dict[str, Any]]()
        for blob in batch["objects"]:
            upload = {"upload": {"href": f"{self.account.url}/lfs/{blob['oid']}"}}
            objects.append(blob if blob["oid"] in self.account.blobs else blob | {"actions": upload})
        return JSONResponse({"transfer": "basic", "objects": objects})

    async def upload(self, request: Request) -> Response:
        """PUT /lfs/OID: bytes whose digest has to be that oid."""
        oid = self.account.keep(await request.body())
        return Response(status_code=200 if oid == request.path_params["oid"] else 400)

    async def commit(self, request: Request) -> Response:
        """POST …/commit/REV: lines of JSON, all of them or none."""
        repository, commit = self._of(request)
        if repository is None or commit is None:
            return _missing()
        lines = [json.loads(line) for line in (await request.body()).splitlines() if line.strip()]
        head, files = lines[0]["value"], dict(commit.files)
        if lines[0]["key"] != "header" or not head.get("summary"):
            return _no(400, "the first line is no header")
        if head.get("parentCommit") not in {None, repository.head.oid}:
            return _no(412, "A commit has happened since. Please refresh and try again.")
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = self.account.keep(base64.b64decode(value["content"]))
            elif line["key"] == "lfsFile" and value["oid"] in self.account.blobs:
                files[value["path"]] = value["oid"]
            elif line["key"] == "deletedFile" and value["path"] in files:
                del files[value["path"]]
            else:
                return _no(400, f"cannot apply {line['key']} of {value.get('path')}")
        done = self.account.commit(repository, files, head["summary"])
        address = f"{self.account.url}/{repository.id}/commit/{done.oid}"
        return JSONResponse({"success": True, "commitOid": done.oid, "commitUrl": address, "hookOutput": ""})

    async def resolve(self, request: Request) -> Response:
        """GET /ID/resolve/REV/PATH: a file's bytes."""
        repository, commit = self._of(request)
        oid = commit.files.get(request.path_params["path"]) if repository and commit else None
        if oid is None:
            return JSONResponse({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        return Response(self.account.blobs[oid])

    async def endpoints(self, _: Request) -> Response:
        """GET /endpoint/OWNER."""
        return JSONResponse({"items": [self.account.shown(endpoint) for endpoint in self.account.endpoints.values()]})

    async def deploy(self, request: Request) -> Response:
        """POST /endpoint/OWNER."""
        body = json.loads(await request.body())
        if errors := list(problems(body, new=True)):
            return _no(400, "; ".join(errors))
        if body["name"] in self.account.endpoints:
            return _no(409, "an endpoint of that name exists")
        return JSONResponse(self.account.shown(self.account.deploy(body, request.state.fault)), 202)

    async def endpoint(self, request: Request) -> Response:
        """GET /endpoint/OWNER/NAME."""
        endpoint = self.account.endpoints.get(request.path_params["name"])
        return JSONResponse(self.account.shown(endpoint)) if endpoint else _no(404, "no such endpoint")

    async def update(self, request: Request) -> Response:
        """PUT /endpoint/OWNER/NAME: what is named changes."""
        endpoint, body = self.account.endpoints.get(request.path_params["name"]), json.loads(await request.body())
        if endpoint is None:
            return _no(404, "no such endpoint")
        if errors := list(problems(body, new=False)):
            return _no(400, "; ".join(errors))
        self.account.change(endpoint, body, request.state.fault)
        return JSONResponse(self.account.shown(endpoint))

    async def delete(self, request: Request) -> Response:
        """DELETE /endpoint/OWNER/NAME."""
        if request.path_params["name"] not in self.account.endpoints:
            return _no(404, "no such endpoint")
        self.account.delete(request.path_params["name"])
        return JSONResponse({})

    async def logs(self, request: Request) -> Response:
        """GET /endpoint/OWNER/NAME/logs, as text."""
        endpoint = self.account.endpoints.get(request.path_params["name"])
        return (
            Response(f"started\n{endpoint.failed}\n" if endpoint.failed else "started\n")
            if endpoint
            else _no(404, "no such endpoint")
        )

    async def predict(self, request: Request) -> Response:
        """An endpoint's own address; while it sleeps or starts, the proxy answers 503."""
        endpoint, data = self.account.endpoints.get(request.path_params["name"]), await request.body()
        if endpoint is None or _custom(endpoint) != request.url.path.endswith("/predict"):
            return _no(404, "no such endpoint")
        program = self.account.take(endpoint)
        if program is None:
            return _no(503, "the endpoint is not ready")
        try:
            prediction = program(data)
        except Exception as error:  # noqa: BLE001 whatever a handler raises
            return _no(400, str(error))
        return JSONResponse(
            prediction if _custom(endpoint) else [{"label": k, "score": v} for k, v in prediction["probabilities"].items()]
        )

    def _of(self, request: Request) -> tuple[Repository | None, Commit | None]:
        kind = request.path_params.get("kind") or ("space" if request.url.path.startswith("/spaces/") else "model")
        id_ = f"{request.path_params['owner']}/{request.path_params['name']}"
        repository = self.account.repositories.get((kind, id_))
        return repository, repository.at(request.path_params.get("revision", "main")) if repository else None


def _custom(endpoint: Endpoint) -> bool:
    return "custom" in endpoint.spec["model"].get("image", {})


def _large(path: str) -> bool:
    return path.endswith((".onnx", ".bin", ".wasm"))


def _git_oid(data: bytes) -> str:
    """Git's object id of a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()  # noqa: S324 git's own


def _no(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status)


def _missing() -> Response:
    return JSONResponse({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})


def huggingface_double(
    mount: Callable[[Path], Program],
    scratch: Path,
    clock: VirtualClock,
    token: str = "hf_double",  # noqa: S107 it opens nothing but this
) -> HuggingFaceDouble:
    """A new account, whose owner is `me`. `mount` starts what endpoints run, in folders below `scratch`."""
    return HuggingFaceDouble(Account(clock, mount, scratch), Faults(KINDS), token)
