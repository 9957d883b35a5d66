"""Every model registry answers the same: the in-memory one and a real MLflow server over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from registry.digests import manifest_of
from registry.errors import IntegrityError, NotFoundError, UnavailableError
from registry.memory import MemoryStore
from registry.protocols import Descriptions, Store

Register = Callable[[str, Path], int]


@pytest.fixture(params=["memory", pytest.param("mlflow", marks=pytest.mark.journey)])
def store(request: pytest.FixtureRequest) -> tuple[Store, Register]:
    if request.param == "memory":
        memory = MemoryStore()
        return memory, lambda name, folder: memory.register(name, folder).version
    uri = request.getfixturevalue("mlflow_uri")
    from registry.mlflow.store import MlflowStore
    from registry.mlflow.tracker import Tracker

    def register(name: str, folder: Path) -> int:
        with Tracker(uri, "contract").run("test", {}) as run:
            return run.model(folder, "model", name)

    return MlflowStore(uri), register


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder that stock MLflow accepts."""
    made = tmp_path / "prepared"
    (made / "data").mkdir(parents=True)
    (made / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: none\n")
    (made / "data" / "weights.bin").write_bytes(b"\x00\x01" * 100)
    return made


def name() -> str:
    return f"hand-{uuid4().hex[:8]}"


def test_versions_count_up_and_carry_their_identity(store: tuple[Store, Register], folder: Path) -> None:
    registry, register = store
    model = name()
    assert [register(model, folder), register(model, folder)] == [1, 2]
    versions = registry.versions(model)
    assert [version.version for version in versions] == [1, 2]
    assert versions[0].created_ms < versions[1].created_ms
    assert model in registry.models()


def test_an_alias_is_set_moved_and_removed(store: tuple[Store, Register], folder: Path) -> None:
    registry, register = store
    model = name()
    register(model, folder)
    register(model, folder)
    assert registry.aliases(model) == {}
    registry.set_alias(model, "staging", 1)
    registry.set_alias(model, "staging", 1)
    assert registry.aliases(model) == {"staging": 1}
    registry.set_alias(model, "staging", 2)
    assert registry.aliases(model) == {"staging": 2}
    registry.delete_alias(model, "staging")
    registry.delete_alias(model, "staging")
    assert registry.aliases(model) == {}


def test_files_come_back_byte_for_byte_and_the_same_each_time(
    store: tuple[Store, Register], folder: Path, tmp_path: Path
) -> None:
    registry, register = store
    model = name()
    register(model, folder)
    version = registry.versions(model)[0]
    first = registry.fetch(version, tmp_path / "one")
    assert (first / "data" / "weights.bin").read_bytes() == b"\x00\x01" * 100
    assert manifest_of(first) == manifest_of(registry.fetch(version, tmp_path / "two"))


@pytest.mark.journey
def test_a_servers_files_come_from_it_whatever_registry_the_process_uses_elsewhere(
    mlflow_uri: str, folder: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    import mlflow

    from registry.mlflow.store import MlflowStore
    from registry.mlflow.tracker import Tracker

    model = name()
    with Tracker(mlflow_uri, "contract").run("test", {}) as run:
        run.model(folder, "model", model)
    store = MlflowStore(mlflow_uri)
    request.addfinalizer(lambda: mlflow.set_registry_uri(mlflow_uri))
    mlflow.set_registry_uri("http://127.0.0.1:9")
    assert (store.fetch(store.versions(model)[0], tmp_path / "out") / "data" / "weights.bin").is_file()


def test_notes_are_added_and_replaced(store: tuple[Store, Register], folder: Path) -> None:
    registry, register = store
    model = name()
    register(model, folder)
    registry.annotate(registry.versions(model)[0], {"a": "1", "b": "2"})
    registry.annotate(registry.versions(model)[0], {"b": "3"})
    assert {key: value for key, value in registry.versions(model)[0].tags.items() if len(key) == 1} == {"a": "1", "b": "3"}


def test_what_is_not_there_is_not_found(store: tuple[Store, Register], folder: Path) -> None:
    registry, register = store
    for ask in (registry.versions, registry.aliases):
        with pytest.raises(NotFoundError, match="not registered"):
            ask("nobody")
    model = name()
    register(model, folder)
    with pytest.raises(NotFoundError):
        registry.set_alias(model, "staging", 9)


def test_missing_bytes_are_an_integrity_error(store: tuple[Store, Register], folder: Path, tmp_path: Path) -> None:
    registry, register = store
    model = name()
    register(model, folder)
    from dataclasses import replace

    gone = replace(registry.versions(model)[0], version=99, source="/nowhere")
    with pytest.raises(IntegrityError):
        registry.fetch(gone, tmp_path / "out")


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "http://ada:s3cret@127.0.0.1:9", "http://host:port"])
def test_a_server_that_is_down_is_one_line_at_once_without_its_password(uri: str) -> None:
    from registry.mlflow.store import MlflowStore

    with pytest.raises(UnavailableError, match="start it with `modelyard up`") as caught:
        MlflowStore(uri)
    assert "s3cret" not in str(caught.value)


def test_a_server_that_fails_in_the_middle_is_one_line() -> None:
    """A server whose health is fine and whose API is not: every call of the tracker is mapped."""
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    from registry.errors import ModelyardError
    from registry.mlflow.runs import read_params
    from registry.mlflow.tracker import Tracker

    class Sick(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 400)
            self.end_headers()
            self.wfile.write(b"OK" if self.path == "/health" else b"no room left")

        do_POST = do_GET  # noqa: N815 the name is the base class's

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Sick)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    uri = f"http://127.0.0.1:{server.server_port}"
    try:
        for ask in (lambda: Tracker(uri, "any"), lambda: read_params(uri, "x")):
            with pytest.raises(ModelyardError, match="MLflow answered"):
                ask()
    finally:
        server.shutdown()
        server.server_close()


def test_descriptions_are_written_and_a_persons_words_stay(store: tuple[Store, Register], folder: Path) -> None:
    from pipelines.evaluation.describe import describe_in_mlflow
    from registry.memory import MemoryLedger

    registry, register = store
    model, ledger = name(), MemoryLedger()
    assert isinstance(registry, Descriptions)
    register(model, folder)
    assert registry.description(model) == registry.description(model, 1) == ""
    assert describe_in_mlflow(registry, ledger, model, [1]) == ""
    assert registry.description(model).startswith("A model that was not evaluated yet")
    assert registry.description(model, 1).startswith("not evaluated yet")
    registry.describe(model, "Mine.")
    registry.describe(model, "Mine, too.", 1)
    assert describe_in_mlflow(registry, ledger, model, [1]) == ""
    assert (registry.description(model), registry.description(model, 1)) == ("Mine.", "Mine, too.")
    assert "is not registered" in describe_in_mlflow(registry, ledger, name(), [1])
