"""Whatever spelling of a path the guard lets through changes no byte of what is promoted: tried on a real tree of files."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.utils.uri import validate_path_is_safe

from registry.errors import InputError
from registry.mlflow.server.addresses import addresses, reaches
from registry.mlflow.server.guard import guard_artifacts
from registry.mlflow.server.refusal import MARK

MODEL = "m-" + "a" * 32
KEPT = f"1/models/{MODEL}/artifacts"
FILES = [f"{KEPT}/MLmodel", f"{KEPT}/data/weights.bin", f"1/models/m-{'b' * 32}/artifacts/MLmodel", "1/run/artifacts/plot.png", "2/run/x", "top"]  # fmt: skip
PARTS = ["", ".", "..", "1", "2", "models", MODEL, MODEL[:-1], MODEL.upper(), "artifacts", "data", "MLmodel", "weights.bin", "run", "x", "top", "new", "to_kept", "to_root", "to_models", "\uff4dodels", "1 ", "1?", "1#", "~", "*"]  # fmt: skip
SEPARATORS = ["/", "/", "/", "//", "/./", "\\", "%2f", "%252F", "/x/../", "%5c"]
SPELL = [str, str, quote, lambda text: quote(quote(text)), lambda text: text.replace(".", "%2e"), lambda text: text.replace(".", "%252E"), lambda text: "".join(f"%{byte:02x}" for byte in text.encode())]  # fmt: skip


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tree") / "artifacts"


@pytest.fixture
def repository(tree: Path, stores: Any) -> LocalArtifactRepository:
    grow(tree)
    _, admission = stores.promoted(f"file://{tree}/{KEPT}")
    return guard_artifacts(admission, LocalArtifactRepository(str(tree)))


def grow(tree: Path) -> None:
    """The tree as it was: files of promoted and of other models, and links between them."""
    for name in FILES:
        file = tree / name
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(name)
    for link, target in {"to_kept": tree / KEPT, "2/to_models": tree / "1/models", "2/to_root": tree}.items():
        (tree / link).parent.mkdir(parents=True, exist_ok=True)
        if not (tree / link).is_symlink():
            (tree / link).unlink(missing_ok=True)
            (tree / link).symlink_to(target)


def kept_bytes(tree: Path) -> dict[str, bytes]:
    folder = tree / KEPT
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@st.composite
def paths(draw: st.DrawFn) -> str:
    text = ""
    for part in draw(st.lists(st.sampled_from(PARTS), max_size=6)):
        text += draw(st.sampled_from(SPELL))(part) + draw(st.sampled_from(SEPARATORS))
    return text if draw(st.booleans()) else text.rstrip("/")


def change(repository: LocalArtifactRepository, how: int, path: str, source: Path) -> None:
    """One of the ways in which a server changes artifacts."""
    head, _, tail = path.rpartition("/")
    match how:
        case 0 | 1:
            repository.delete_artifacts(path)
        case 2:
            repository.log_artifacts(str(source), path)
        case 3:
            repository.log_artifact(str(source / "MLmodel"), path or None)
        case _:
            repository.log_artifact_from_stream(io.BytesIO(b"other"), tail, head or None)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=paths(), how=st.integers(0, 5), routed=st.booleans())
@example(path=".", how=0, routed=True)
@example(path="", how=0, routed=False)
@example(path="1/x/..", how=0, routed=False)
@example(path="%2e", how=0, routed=False)
@example(path="%25252e", how=0, routed=True)
@example(path="2/to_root/", how=0, routed=True)
@example(path="to_kept", how=5, routed=True)
def test_no_spelling_of_a_path_changes_a_byte_of_what_is_promoted(
    repository: LocalArtifactRepository, tree: Path, tmp_path: Path, path: str, how: int, routed: bool
) -> None:
    grow(tree)
    (tmp_path / "source").mkdir(exist_ok=True)
    (tmp_path / "source" / "MLmodel").write_text("other")
    before = kept_bytes(tree)
    with suppress(MlflowException, OSError, ValueError):
        change(repository, how, validate_path_is_safe(path) if routed else path, tmp_path / "source")
    assert kept_bytes(tree) == before


@pytest.mark.parametrize("path", ["", ".", "./", "1", "1/", "1/.", "1/models/..", f"{KEPT}", f"{KEPT}/data/", f"{KEPT}/new", f"1//models/{MODEL}", "2/to_models", "to_kept/data", f"%31/models/{MODEL}", f"1%252fmodels%252f{MODEL}", f"1\\models\\{MODEL}", f"1/models/{MODEL.upper()}"])  # fmt: skip
def test_what_reaches_a_promoted_file_is_refused_with_the_reason(repository: LocalArtifactRepository, path: str) -> None:
    with pytest.raises(MlflowException, match="backs 'production' and may not be changed") as refusal:
        repository.delete_artifacts(path)
    assert refusal.value.message.startswith(MARK)


def test_what_reaches_none_is_done(repository: LocalArtifactRepository, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "plot.png").write_text("new")
    repository.delete_artifacts(f"1/models/m-{'b' * 32}")
    repository.delete_artifacts("2")
    repository.log_artifact(str(tmp_path / "plot.png"), "1/run/artifacts")
    assert not (tree / "2").exists()
    assert (tree / "1/run/artifacts/plot.png").read_text() == "new"


@pytest.mark.parametrize("root", ["s3://bucket/below", "s3://bucket", "gs://bucket/below/", "/srv/artifacts", "file:///srv/artifacts"])  # fmt: skip
def test_a_bucket_is_a_tree_like_any_other(root: str) -> None:
    kept = next(iter(addresses(root, KEPT)))
    for path in ("", ".", "1", "1/models/", KEPT, f"{KEPT}/x", "%31", "1/y/.."):
        assert reaches(addresses(root, path), kept), path
    for path in ("11", "1/models/m-", f"1/models/{MODEL}2", "2", "x/1"):
        assert not reaches(addresses(root, path), kept), path


def test_a_path_that_is_encoded_without_end_is_refused() -> None:
    path = "a%2fb"
    for _ in range(20):
        path = path.replace("%", "%25")
    with pytest.raises(InputError, match="encoded over and over"):
        addresses("/srv", path)
