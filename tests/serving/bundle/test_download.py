"""A bundle that is fetched has the digest that was asked for, and a token reaches no other host."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from registry.errors import InputError, IntegrityError, UnavailableError
from serving.bundle.download import pull
from serving.fakes.http import listening

sys.path.insert(0, str(Path(__file__).parents[1]))
from containers import hosted


def test_what_is_pulled_is_what_was_asked_for(make_bundle, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    with hosted(bundle, tmp_path / "shelf") as url:
        digest = bundle.index.digest
        folder = pull(url, digest, tmp_path / "a")
        assert {path.name for path in folder.iterdir()} == {"bundle.json", "model.onnx", "preprocess.json", "labels.json"}
        assert pull("http://127.0.0.1:1", digest, tmp_path / "a") == folder
        with pytest.raises(IntegrityError, match="and not 000000000000"):
            pull(url, "0" * 64, tmp_path / "b")
        (tmp_path / "shelf" / digest / "model.onnx").write_bytes(b"x")
        with pytest.raises(IntegrityError, match=r"model\.onnx: is not the file"):
            pull(url, digest, tmp_path / "c")
        with pytest.raises(UnavailableError, match="404"):
            pull(f"{url}/nowhere", digest, tmp_path / "d")
        with pytest.raises(InputError, match="is not an http"):
            pull("file:///etc", digest, tmp_path / "e")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "one", "shelf"]


def test_a_token_goes_to_the_address_and_not_where_it_redirects(make_bundle, tmp_path: Path) -> None:
    bundle, seen = make_bundle(tmp_path / "one"), list[tuple[str, str | None]]()

    def app(name: str, target) -> Starlette:
        async def give(request: Request) -> Response:
            seen.append((name, request.headers.get("Authorization")))
            return await target(request)

        return Starlette(routes=[Route("/{path}", give)])

    async def files(request: Request) -> Response:
        path = bundle.folder / request.path_params["path"]
        return Response(path.read_bytes()) if path.exists() else Response(status_code=404)

    with listening(app("store", files)) as store:

        async def redirect(request: Request) -> Response:
            return Response(status_code=302, headers={"Location": f"{store}/{request.path_params['path']}"})

        with listening(app("hub", redirect)) as hub:
            pull(hub, bundle.index.digest, tmp_path / "a", "hf_secret")
    assert {value for name, value in seen if name == "hub"} == {"Bearer hf_secret"}
    assert {value for name, value in seen if name == "store"} == {None}
