"""Nothing is public by accident, and nothing is uploaded by a deployment that cannot be; private bundles work at every address."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

sys.path.insert(0, str(Path(__file__).parent))
import clouds
from clouds import passes

from registry.errors import DeniedError, InputError, ModelyardError, RefusedError, UnavailableError
from serving.bundle.download import pull
from serving.bundle.web_page import ABOUT
from serving.fakes.http import listening
from serving.fakes.huggingface.state import Repository
from serving.targets.bundle_stores import StaticBundleStore
from serving.targets.contract import Target
from serving.targets.huggingface import repositories
from serving.targets.huggingface.bundle_store import HubBundleStore
from serving.targets.huggingface.package import repository_files
from serving.targets.runpod.target import RunPodTarget

TOKEN = "a-token-for-bundles"
THEIRS = {"README.md": b"# The work of years", "model.safetensors": b"weights"}


class Worlds:
    """Both doubles."""

    def __init__(self, runpod: clouds.RunPodWorld, hub: clouds.HuggingFaceWorld) -> None:
        self.runpod, self.hub = runpod, hub

    def runpod_target(
        self, *, secret: str | None = "hub", public: bool = False, repository: str = "me/bundles", **more
    ) -> RunPodTarget:
        usual = self.runpod.target(bundles=f"hf:{repository}", public=public, bundle_secret=secret, **more)
        store = HubBundleStore(self.hub.hub(), repository, private=not public, secret=secret)
        return RunPodTarget(usual.client, usual.config, store, usual.clock, usual.today)

    def uploads(self) -> dict[str, int]:
        """Repository → its commits; what a deployment leaves that was refused in time is what there was before."""
        return {key[1]: len(known.commits) for key, known in self.hub.double.account.repositories.items()}

    @property
    def blobs(self) -> int:
        return len(self.hub.double.account.blobs)


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[Worlds]:
    with clouds.runpod_world(tmp_path / "r") as runpod, clouds.huggingface_world(tmp_path / "h") as hub:
        yield Worlds(runpod, hub)


def make_public(worlds: Worlds, name: str) -> None:
    worlds.hub.hub().publish(name, {"README.md": b"---\n---\nours"}, "one", private=False)


def foreign(worlds: Worlds) -> None:
    """An endpoint of that name that somebody else made, at both."""
    client = worlds.runpod.client()
    target = worlds.runpod.target()
    from serving.targets.runpod.release_spec import endpoint_spec, new_endpoint

    client.create_endpoint(new_endpoint("modelyard-hand", target.config, endpoint_spec(target.config, {}, None, None)))


def occupied(
    worlds: Worlds, name: str, kind: str = "model", files: Mapping[str, bytes] = THEIRS, *, private: bool = True
) -> None:
    """A repository that a person made on the site and committed to."""
    account = worlds.hub.double.account
    known = account.repositories[kind, name] = Repository(name, kind, private)
    account.commit(known, {".gitattributes": account.keep(b"")})
    account.commit(known, {path: account.keep(content) for path, content in files.items()}, "my work")


def published_and_more(worlds: Worlds, name: str) -> None:
    """A bundle that was published, and a file that a person put beside it."""
    occupied(
        worlds, name, files={"bundle.json": b'{"files": {"onnx/model.onnx": "0"}}', "onnx/model.onnx": b"", "notes.md": b"mine"}
    )


def readonly(worlds: Worlds) -> None:
    worlds.hub.double.role = "read"


def nothing(_: Worlds) -> None:
    """All is as usual."""


REFUSALS: dict[str, tuple[Callable[[Worlds], None], Callable[[Worlds], Target], str]] = {
    "no worker could read it": (nothing, lambda w: w.runpod_target(secret=None), "no worker could read it"),
    "a public repository": (lambda w: make_public(w, "me/bundles"), lambda w: w.runpod_target(), "is public, and nothing"),
    "another's namespace": (nothing, lambda w: w.runpod_target(repository="you/bundles"), "no namespace 'you'"),
    "a token that reads": (readonly, lambda w: w.runpod_target(), "may only read"),
    "over its cap": (nothing, lambda w: w.runpod_target(min_workers=1, max_usd_per_month=1), "over the $1.00 cap"),
    "not our endpoint": (foreign, lambda w: w.runpod_target(), "was not made by Modelyard"),
    "hf: over its cap": (nothing, lambda w: w.hub.target(min_replicas=1, max_usd_per_month=1), "over the $1.00 cap"),
    "hf: another's namespace": (nothing, lambda w: w.hub.target(repository="you/hand"), "no namespace 'you'"),
    "hf: a token that reads": (readonly, lambda w: w.hub.target(), "may only read"),
    "hf: a public repository": (lambda w: make_public(w, "me/hand"), lambda w: w.hub.target(), "is public, and nothing"),
    "hf: a Space elsewhere": (nothing, lambda w: w.hub.target(space="you/page"), "no namespace 'you'"),
    "somebody's own model": (
        lambda w: occupied(w, "me/bundles"),
        lambda w: w.runpod_target(),
        "holds README.md and 1 more file,",
    ),
    "a file beside ours": (lambda w: published_and_more(w, "me/bundles"), lambda w: w.runpod_target(), "holds notes.md, which"),
    "a private repository, public wanted": (
        lambda w: occupied(w, "me/bundles", private=True),
        lambda w: w.runpod_target(public=True),
        "is private, so that nobody else could read it",
    ),
    "hf: somebody's own model": (
        lambda w: occupied(w, "me/hand"),
        lambda w: w.hub.target(),
        "holds README.md and 1 more file,",
    ),
    "hf: somebody's own Space": (
        lambda w: occupied(w, "me/page", "space", {"index.html": b"<h1>mine", "README.md": b""}),
        lambda w: w.hub.target(space="me/page"),
        "Space me/page: holds README.md and 1 more file,",
    ),
    "a reserved name": (nothing, lambda w: w.hub.target(), "reserved for trials"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_refused_has_uploaded_nothing(worlds: Worlds, make_bundle, tmp_path: Path, case: str) -> None:
    prepare, target_of, words = REFUSALS[case]
    prepare(worlds)
    endpoints, before = worlds.runpod.names(), (worlds.uploads(), worlds.blobs)
    name = "hand-next" if case == "a reserved name" else "hand"
    with pytest.raises(ModelyardError, match=words.replace("$", r"\$").replace(".", r"\.")) as refusal:
        target_of(worlds).deploy(name, make_bundle(tmp_path / "one"), passes)
    assert isinstance(refusal.value, (InputError, RefusedError))
    assert (worlds.uploads(), worlds.blobs) == before
    assert worlds.runpod.names() == endpoints
    assert not worlds.hub.double.account.endpoints


@pytest.mark.parametrize("public", [False, True])
def test_a_repository_is_private_unless_the_job_says_public_and_both_can_be_read(
    worlds: Worlds, make_bundle, tmp_path: Path, public: bool
) -> None:
    target, bundle = worlds.runpod_target(public=public, secret=None if public else "hub"), make_bundle(tmp_path / "one")
    (upload,) = target.publications(bundle)
    assert upload.public is public
    assert ("everybody" in str(upload)) is public
    assert str(upload).startswith("bundle colours/1 (")
    assert "me/bundles at http" in str(upload)
    store = target.store
    assert isinstance(store, HubBundleStore)
    address = store.put(bundle)
    assert worlds.hub.double.account.repositories["model", "me/bundles"].private is not public
    pull(address, bundle.index.digest, tmp_path / "pulled", "" if public else "hf_double")
    if not public:
        with pytest.raises(ModelyardError):
            pull(address, bundle.index.digest, tmp_path / "strangers")


@pytest.mark.parametrize("kind", ["model", "space"])
def test_a_repository_that_was_only_made_is_published_into_and_then_known_as_ours(
    worlds: Worlds, make_bundle, tmp_path: Path, kind: str
) -> None:
    """Made on the site, with the licence's card or the template that Hugging Face puts there."""
    account, page = worlds.hub.double.account, {"index.html": b"<p>", "model/about.json": b"{}"}
    name = "me/hand" if kind == "model" else "me/page"
    known = account.repositories[kind, name] = Repository(name, kind, True)
    template = {"model": ("README.md",), "space": ("README.md", "index.html", "style.css")}[kind]
    account.commit(known, {path: account.keep(b"") for path in (".gitattributes", *template)})
    target = worlds.hub.target(space="me/page")
    target.page = lambda _: page
    for version in (1, 2):
        target.deploy("hand", make_bundle(tmp_path / f"v{version}", version=version, gain=20.0 + version), passes)
    assert set(account.repositories["space", "me/page"].head.files) - {"README.md"} == {*page, ".gitattributes"}
    assert "bundle.json" in account.repositories["model", "me/hand"].head.files


def test_what_a_person_pushed_as_the_only_commit_is_theirs(worlds: Worlds, make_bundle, tmp_path: Path) -> None:
    """`git push --force` of a history of its own, whose first commit is called as Hugging Face calls its own."""
    account = worlds.hub.double.account
    known = account.repositories["space", "me/page"] = Repository("me/page", "space", True)
    account.commit(known, {path: account.keep(b"mine") for path in (".gitattributes", "README.md", "app.py")})
    with pytest.raises(RefusedError, match=r"Space me/page: holds README.md and 1 more file, which"):
        worlds.hub.hub().publish("me/page", {"index.html": b""}, "ours", kind="space")
    assert len(known.commits) == 1


@pytest.mark.parametrize("fault", ["500", "dropped"])
def test_a_hub_that_fails_for_a_moment_makes_our_own_repository_nobody_else_s(
    worlds: Worlds, make_bundle, tmp_path: Path, fault: str
) -> None:
    store = worlds.runpod_target().store
    store.put(make_bundle(tmp_path / "one"))
    worlds.hub.double.faults.add(fault, "/resolve/.*/bundle.json$")
    store.put(make_bundle(tmp_path / "two", version=2, gain=30.0))
    for _ in range(5):
        worlds.hub.double.faults.add(fault, "/resolve/.*/bundle.json$")
    with pytest.raises(UnavailableError):
        store.put(make_bundle(tmp_path / "three", version=3, gain=40.0))


def test_a_card_beside_bundles_stays(worlds: Worlds, make_bundle, tmp_path: Path) -> None:
    store, account = worlds.runpod_target().store, worlds.hub.double.account
    store.put(make_bundle(tmp_path / "one"))
    known = account.repositories["model", "me/bundles"]
    account.commit(known, known.head.files | {"README.md": account.keep(b"# Mine")}, "a card")
    store.put(make_bundle(tmp_path / "two", version=2, gain=30.0))
    assert account.blobs[known.head.files["README.md"]] == b"# Mine"


def test_every_file_that_we_publish_is_known_as_ours(worlds: Worlds, make_bundle, tmp_path: Path) -> None:
    """What a release adds to a repository, and its rule forgets, would be refused at the second deployment."""
    bundle = make_bundle(tmp_path / "one")
    files = set(repository_files(bundle)) | {".gitattributes"}
    there = repositories.Repository("me/hand", "model", "0" * 40, True, frozenset(files))
    repositories.check_may_hold(there, lambda name: (bundle.folder / name).read_bytes(), list, private=True)
    names = {"README.md", "index.html", "page.mjs", "resize.mjs", ABOUT, "model/tfjs/model.json", "lib/tf-core.min.js"}
    space = repositories.Repository("me/page", "space", "0" * 40, True, frozenset(names))
    repositories.check_may_hold(space, lambda _: b"", list, private=True)


def test_a_space_and_a_repository_are_said_before(worlds: Worlds, make_bundle, tmp_path: Path) -> None:
    target = worlds.hub.target(space="me/page")
    target.page = lambda _: {"index.html": b"<p>"}
    uploads = list(map(str, target.publications(make_bundle(tmp_path / "one"))))
    assert [line.partition(") to ")[2] for line in uploads] == [
        f"me/hand at {worlds.hub.url}, private: me, and the endpoint, can read it",
        f"the Space me/page at {worlds.hub.url}, private: me can read it",
    ]


@contextmanager
def guarded(folder: Path, status: int) -> Iterator[str]:
    """A web server that shows a folder to whoever has the token."""

    async def show(request: Request) -> Response:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return Response(status_code=status)
        path = folder / request.path_params["path"]
        return FileResponse(path) if path.is_file() else Response(status_code=404)

    with listening(Starlette(routes=[Route("/{path:path}", show)])) as url:
        yield url


@pytest.mark.parametrize("status", [401, 403])
def test_a_private_address_with_a_secret_passes_its_own_check(make_bundle, tmp_path: Path, status: int) -> None:
    bundle = make_bundle(tmp_path / "one")
    digest = bundle.index.digest
    (tmp_path / "shown").mkdir()
    bundle.folder.rename(tmp_path / "shown" / digest)
    bundle = type(bundle)(tmp_path / "shown" / digest, bundle.index)
    with guarded(tmp_path / "shown", status) as url:
        assert StaticBundleStore(url, SecretStr(TOKEN), "hub").put(bundle) == f"{url}/{digest}"
        assert StaticBundleStore(url, None, "hub").put(bundle) == f"{url}/{digest}", "the workers have the token"
        pull(f"{url}/{digest}", digest, tmp_path / "pulled", TOKEN)
        wrong: list[tuple[Any, str]] = [(StaticBundleStore(url), "bundle_secret")]
        wrong.append((StaticBundleStore(url, SecretStr("another"), "hub"), "MODELYARD_BUNDLE_TOKEN"))
        for store, remedy in wrong:
            with pytest.raises(DeniedError, match=remedy) as refusal:
                store.put(bundle)
            assert "another" not in str(refusal.value)
