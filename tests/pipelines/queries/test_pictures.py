"""Which pictures are asked about: files, folders, patterns, videos; whatever lies among them costs its own row."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.queries import pictures
from pipelines.queries.pictures import MOST_BYTES, printable, sources_of
from registry.errors import InputError, ModelyardError


def names(*given: Path) -> list[str]:
    return [path.name for path in sources_of(given).files]


def read(path: Path) -> bytes:
    (picture,) = sources_of([path]).pictures(5, lambda *_: None)
    return picture.read()


@pytest.fixture
def folder(tmp_path: Path, picture: Callable[..., bytes]) -> Path:
    for name in ("b.png", "a.JPG", "sub/c.webp", "sub/x.jpg/d.bmp", ".hidden/e.png", "sub/.f.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(picture())
    for name in ("notes.txt", "sub/model.onnx"):
        (tmp_path / "in" / name).write_text("x")
    return tmp_path / "in"


def test_a_folder_is_its_pictures_with_those_below_and_the_rest_is_listed(folder: Path) -> None:
    sources = sources_of([folder])
    assert [str(path.relative_to(folder)) for path in sources.files] == ["a.JPG", "b.png", "sub/c.webp", "sub/x.jpg/d.bmp"]
    assert [path.name for path in sources.skipped] == ["notes.txt", "model.onnx"]
    assert names(folder / "sub" / "x.jpg") == ["d.bmp"], "a folder that is named like a picture"


def test_a_pattern_is_what_it_matches_by_name_and_a_file_of_that_very_name_comes_first(folder: Path) -> None:
    assert names(folder / "*.png") == ["b.png"]
    assert names(folder / "**" / "*.[bw]*") == ["c.webp", "d.bmp"]
    assert names(folder / "s*") == ["c.webp", "d.bmp"]
    (folder / "[b].png").write_bytes(b"x")
    assert names(folder / "[b].png") == ["[b].png"]
    assert names(folder / "nothing*.png") == ["nothing*.png"]
    with pytest.raises(ModelyardError, match="cannot be read"):
        read(folder / "nothing*.png")
    with pytest.raises(InputError, match="cannot be read"):
        sources_of([folder / "**x"]) if sys.version_info < (3, 13) else sources_of([Path("[")])


def test_a_relative_pattern_is_looked_for_in_the_current_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert [str(path) for path in sources_of([Path("sub/*.webp")]).files] == ["sub/c.webp"]


def test_links_that_lead_back_are_not_followed(folder: Path) -> None:
    (folder / "loop").symlink_to(folder)
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "round.png").symlink_to(folder / "round.png")
    (folder / "linked.png").symlink_to(folder / "b.png")
    assert names(folder) == ["a.JPG", "b.png", "linked.png", "round.png", "c.webp", "d.bmp"]
    assert names(folder / "**" / "*.png") == ["b.png", "linked.png", "round.png"]
    assert names(folder / "**" / ".*.png") == [".f.png"]
    assert read(folder / "linked.png") == (folder / "b.png").read_bytes()
    with pytest.raises(ModelyardError, match=r"round\.png: cannot be read \(too many levels"):
        read(folder / "round.png")


def test_what_cannot_be_read_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    lines = {
        "empty.jpg": "is empty",
        "pipe.jpg": "is not a file",
        "gone.jpg": "no such file",
        "huge.jpg": "is larger than 20,000,000 bytes",
        "x" * 300 + ".jpg": "file name too long",
        "a\nb.jpg": "no such file",
    }
    for name, words in lines.items():
        with pytest.raises(ModelyardError, match=words) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_locked_folder_is_not_left_out_in_silence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = os.scandir

    def locked(path: str) -> object:
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", locked)
    assert names(folder) == ["a.JPG", "b.png", "sub"] or names(folder)[-1] == "sub"
    (*_, last) = sources_of([folder]).pictures(5, lambda *_: None)
    with pytest.raises(InputError, match="is a folder that cannot be read"):
        last.read()


def test_a_folder_without_pictures_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="holds no pictures and no videos"):
        sources_of([tmp_path])


def test_a_name_that_is_not_utf_8_can_be_printed(tmp_path: Path, picture: Callable[..., bytes]) -> None:
    name = os.fsencode(tmp_path) + b"/\xff.png"
    Path(os.fsdecode(name)).write_bytes(picture())
    (source,) = sources_of([tmp_path]).pictures(5, lambda *_: None)
    assert source.name.endswith("/\\xff.png")
    assert source.read() == picture()
    assert printable(Path("käse.png")) == "käse.png"


def test_standard_input_is_one_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"bytes")))
    assert read(Path("-")) == b"bytes"


def test_a_video_is_its_frames_at_so_many_a_second_and_its_fault_a_row(clips: Path, tmp_path: Path) -> None:
    (clip, *_) = sorted((clips / "0").iterdir())
    passed = list[tuple[int, int]]()
    frames = list(sources_of([clip]).pictures(120, lambda done, of: passed.append((done, of))))
    assert [frame.frame for frame in frames] == list(range(6))
    assert frames[0].seconds == 0
    assert frames[1].seconds is not None
    assert frames[1].seconds > 0
    assert all(frame.read().startswith(b"\xff\xd8") for frame in frames)
    assert passed == [(1, 1)]
    assert len(list(sources_of([clip]).pictures(0.001, lambda *_: None))) == 1
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    for path in (broken, tmp_path / "missing.mp4"):
        (row,) = sources_of([path]).pictures(5, lambda *_: None)
        assert row.frame is None
        with pytest.raises(ModelyardError, match=r"is not a video|cannot be read"):
            row.read()


def test_frames_are_decoded_one_by_one(clips: Path) -> None:
    (clip, *_) = sorted((clips / "0").iterdir())
    made = sources_of([clip]).pictures(120, lambda *_: None)
    assert next(made).frame == 0
    assert next(made).frame == 1
    made.close()  # type: ignore[attr-defined]


def test_a_file_may_be_as_large_as_our_server_takes() -> None:
    from serving.server.middleware import MAX_BYTES

    assert pictures.MOST_BYTES == MAX_BYTES
