"""A state file in any condition is read as what it is, or is one error that names it; a lock touches nothing."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.services.webhook import encryption_key
from registry.address import UP, mlflow_address, read_running
from registry.errors import BusyError, DamagedFileError, MissingFileError, ModelyardError, UnavailableError
from registry.files import create_once, read_bytes, read_json, read_record, read_text, set_aside
from registry.lease import FileLeases, locked
from registry.records import Record
from registry.settings import Settings


class Point(Record):
    x: int


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10**12)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "blank": lambda path: path.write_bytes(b"\0" * 4096),
    "cut": lambda path: path.write_bytes(b'{"x": 1'),
    "garbage": lambda path: path.write_bytes(os.urandom(100).replace(b"1", b"\xff") + b"\xff"),
    "other shape": lambda path: path.write_bytes(b"[]"),
    "other type": lambda path: path.write_bytes(b'{"x": "one"}'),
    "nested": lambda path: path.write_bytes(b"[" * 200_000),
    "not UTF-8": lambda path: path.write_bytes(b'{"x": "\xe9"}'),
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "circle": lambda path: path.symlink_to(path),
    "huge": _sparse,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damage_is_one_line_that_names_the_file_and_the_remedy(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "state.json"
    DAMAGES[damage](path)
    with pytest.raises(DamagedFileError) as caught:
        read_record(path, Point, "a point", "draw it again")
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).endswith("; draw it again")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["state.json", "gone/state.json"])
def test_a_file_that_is_gone_is_told_apart(tmp_path: Path, name: str) -> None:
    for read in (read_json, read_bytes, read_text):
        with pytest.raises(MissingFileError, match="is not there; restore it"):
            read(tmp_path / name)
        with pytest.raises(FileNotFoundError):
            read(tmp_path / name)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(MissingFileError):
        read_json(tmp_path / "dangling")


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object, *_: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refuse)  # root may read everything, so the system's answer is a stand-in
    with pytest.raises(DamagedFileError, match=r"cannot be read \(permission denied\); see who may read it"):
        read_json(tmp_path / "state.json")


def test_a_path_through_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("1")
    with pytest.raises(ModelyardError, match="cannot be read"):
        read_json(tmp_path / "file" / "state.json")


def test_a_whole_file_is_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text('{"x": 3}')
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    assert read_record(tmp_path / "link.json", Point, "a point") == Point(x=3)


@pytest.mark.parametrize("flaw", ["link", "dangling link", "folder", "pipe"])
def test_a_lock_that_is_no_file_is_refused_and_what_it_leads_to_stays(tmp_path: Path, flaw: str) -> None:
    precious, path = tmp_path / "precious", tmp_path / "leases" / "x.lock"
    path.parent.mkdir()
    precious.write_text("years of work")
    makers = {"link": lambda: path.symlink_to(precious), "dangling link": lambda: path.symlink_to(tmp_path / "new")}
    makers |= {"folder": path.mkdir, "pipe": lambda: os.mkfifo(path)}
    makers[flaw]()
    with pytest.raises(DamagedFileError, match="remove it"), locked(path, BusyError("x", "y", "z")):
        pass
    assert precious.read_text() == "years of work"
    assert not (tmp_path / "new").exists()


def test_a_lock_never_changes_its_file_and_keeps_others_out(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    path.write_text("somebody's text")
    busy = BusyError("x", "is busy", "wait")
    with locked(path, busy, wait=False), pytest.raises(BusyError, match="is busy"), locked(path, busy, wait=False):
        pass
    with locked(path, busy, wait=False):
        assert path.read_text() == "somebody's text"


def test_a_lease_through_a_link_truncates_nothing(tmp_path: Path) -> None:
    with FileLeases(tmp_path / "leases").hold("hand"):
        pass
    lock = next((tmp_path / "leases").iterdir())
    lock.unlink()
    (tmp_path / "model.onnx").write_text("bytes")
    lock.symlink_to(tmp_path / "model.onnx")
    with pytest.raises(ModelyardError, match="symbolic link"), FileLeases(tmp_path / "leases").hold("hand"):
        pass
    assert (tmp_path / "model.onnx").read_text() == "bytes"


def test_of_many_that_make_a_secret_at_once_all_read_the_same(tmp_path: Path) -> None:
    secrets, barrier = set[str](), threading.Barrier(16)

    def make() -> None:
        barrier.wait()
        secrets.add(encryption_key(tmp_path).get_secret_value())

    threads = [threading.Thread(target=make) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    path = tmp_path / "keys" / "webhook.fernet"
    assert secrets == {path.read_text()}
    assert path.stat().st_mode & 0o077 == 0
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("text", ["", "\n", "short"])
def test_a_secret_that_is_cut_signs_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys" / "webhook.fernet"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(DamagedFileError, match="empty or cut"):
        encryption_key(tmp_path)
    assert path.read_text() == text


def test_what_is_there_already_is_not_made_again(tmp_path: Path) -> None:
    create_once(tmp_path / "secret", b"first")
    create_once(tmp_path / "secret", b"second")
    assert (tmp_path / "secret").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_what_is_set_aside_replaces_nothing(tmp_path: Path) -> None:
    names = set[str]()
    for number in range(3):
        (tmp_path / "state").write_text(str(number))
        names.add(set_aside(tmp_path / "state").name)
    assert names == {"state.damaged", "state.damaged1", "state.damaged2"}
    assert (tmp_path / "state.damaged").read_text() == "0"


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '{"mlflow": 5}', '{"mlflow": "u", "pids": 7}', '{"pids": ["1"]}'])
def test_a_note_of_what_runs_that_is_damaged_leads_to_no_other_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    (tmp_path / UP).write_text(text)
    with pytest.raises(DamagedFileError, match="stop `modelyard up` and start it again"):
        mlflow_address(Settings(home=tmp_path))


def test_a_note_of_what_runs_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnavailableError):
        mlflow_address(Settings(home=tmp_path))
    (tmp_path / UP).write_text('{"mlflow": "http://x", "dashboard": "http://y", "pids": [1, 2]}')
    assert read_running(tmp_path).pids == [1, 2]
    assert mlflow_address(Settings(home=tmp_path)) == "http://x"
