"""An archive is read as a folder is, and can do nothing that a folder cannot."""

from __future__ import annotations

import io
import stat
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from odd_pictures import encoded, read

from pipelines.data.importing import archive
from registry.errors import InputError, ModelyardError


def zipped(path: Path, names: dict[str, bytes], **more: object) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in names.items():
            file.writestr(name, content)
    return path


def photos() -> dict[str, bytes]:
    return {
        f"set/{label}/{number}.png": encoded("PNG", (20 + number, 20 + len(label)))
        for label in ("a", "bc")
        for number in range(4)
    }


@pytest.mark.parametrize("bad", ["../x.jpg", "/etc/x.jpg", "a/../../x.jpg", "C:/x.jpg", "..\\x.jpg", "a\\..\\..\\x.jpg"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_member_that_points_out_of_its_archive_refuses_it(bad: str, kind: str, tmp_path: Path) -> None:
    if kind == "zip":
        path = zipped(tmp_path / "x.zip", {**photos(), bad: b"x"})
    else:
        if "\\" in bad:
            pytest.skip("tar has no other separator")
        path = tmp_path / "x.tar.gz"
        with tarfile.open(path, "w:gz") as file:
            info = tarfile.TarInfo(bad)
            file.addfile(info, io.BytesIO())
    with pytest.raises(InputError, match="points out of it"):
        read(path, tmp_path / "data")
    assert sorted(item.name for item in tmp_path.iterdir()) == [path.name]


@pytest.mark.parametrize("target", ["/etc/passwd", "../../x.png", "../../../etc", "C:\\x.png", "..\\..\\x.png"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_link_that_points_out_of_its_archive_refuses_it(target: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{kind}"
    if kind == "zip":
        link = zipfile.ZipInfo("set/link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        with zipfile.ZipFile(zipped(path, photos()), "a") as file:
            file.writestr(link, target)
    else:
        with tarfile.open(path, "w") as file:
            info = tarfile.TarInfo("set/link.png")
            info.type, info.linkname = tarfile.SYMTYPE, target
            file.addfile(info)
    with pytest.raises(InputError, match="a link that points out of it"):
        read(path, tmp_path / "data")
    assert sorted(item.name for item in tmp_path.iterdir()) == [path.name]


def test_archives_are_read_as_folders_and_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    path = zipped(tmp_path / "x.zip", photos())
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as file:
        for name, content in photos().items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("set/a/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "../bc/0.png"
        file.addfile(link)
    first, left_out, _ = read(path, tmp_path / "a")
    second, links, _ = read(tmp_path / "x.tar.gz", tmp_path / "b")
    assert first.manifest == second.manifest
    assert left_out == {}
    assert list(links.values()) == ["a link in the archive"]
    assert list(scratch.iterdir()) == []
    with pytest.raises(InputError, match="link"):
        read(tmp_path / "x.tar.gz", tmp_path / "c", strict=True)
    assert list(scratch.iterdir()) == []


def test_what_is_wrong_with_a_member_of_an_archive_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, content in photos().items():
            file.writestr(name, content)
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr("set/a/0.png", b"again")
        link = zipfile.ZipInfo("set/a/link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "1.png")
        file.writestr(f"set/a/{'x' * 300}.png", b"x")
        file.writestr("set/a/broken.png", b"A" * 64)
    path.write_bytes(path.read_bytes().replace(b"A" * 64, b"B" * 64))
    _, left_out, _ = read(path, tmp_path / "data")
    assert {Path(name).name[:12]: why.split(" (")[0] for name, why in left_out.items()} == {
        "0.png": "the archive has this name twice: the first counts",
        "link.png": "a link in the archive",
        "xxxxxxxxxxxx": "cannot be written",
        "broken.png": "is damaged in the archive",
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "neither a folder nor a whole"),
        (b"PK\3\4 cut", "neither a folder nor a whole"),
        (b"\x1f\x8b cut", "neither a folder nor a whole"),
    ],
)
def test_what_is_no_archive_is_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(tmp_path / "x.zip", tmp_path / "data")


def test_an_archive_that_grows_without_end_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "FREE_BYTES", 1_000_000)
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/0.png", b"\0" * 30_000_000)
    with pytest.raises(InputError, match="would unpack to"):
        read(tmp_path / "x.zip", tmp_path / "data")
    monkeypatch.setattr(archive, "MOST_MEMBERS", 3)
    with pytest.raises(InputError, match="would unpack to 4 files"):
        read(zipped(tmp_path / "y.zip", photos()), tmp_path / "data")


def test_an_archive_that_says_less_than_it_holds_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "FREE_BYTES", 100_000)
    monkeypatch.setattr(archive, "RATIO", 1)
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/0.png", b"\0" * 300_000)
    data = (tmp_path / "x.zip").read_bytes().replace((300_000).to_bytes(4, "little"), (9).to_bytes(4, "little"))
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(ModelyardError):
        read(tmp_path / "x.zip", tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_an_encrypted_archive_is_one_line(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", photos())
    data = bytearray(path.read_bytes())
    at = data.find(b"PK\1\2")
    data[at + 8] |= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="is encrypted"):
        read(path, tmp_path / "data")
