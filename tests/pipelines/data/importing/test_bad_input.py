"""Whatever lies in a folder or an archive: each file is read, or listed with its reason, or the whole is refused in one line."""

from __future__ import annotations

import io
import json
import os
import random
import stat
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from folders_of_formats import FORMATS, class_folders, draw, split_folders, yolo

from pipelines.data.build import Dealing, write_dataset
from pipelines.data.dataset import DataSet
from pipelines.data.importing import archive
from pipelines.data.importing.open import left_out_of, notes_of, opened
from pipelines.data.source import Source
from pipelines.job.jobfile import Data, Split
from registry.errors import InputError, ModelyardError


def quiet(*_: object) -> None:
    return


def read(
    root: Path, target: Path, *, strict: bool = False, group: str | None = None
) -> tuple[DataSet, dict[str, str], list[str]]:
    with opened(root, Data(group=group), strict=strict) as source:
        data = write_dataset(source, target, Dealing(Split()), quiet)
        return data, {item.file: item.why for item in left_out_of(source)}, notes_of(source)


def encoded(kind: str, size: tuple[int, int] = (40, 40), mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.radial_gradient("L").resize(size).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def animated(kind: str) -> bytes:
    frames = [Image.radial_gradient("L").resize((40, 40)).convert("RGB").rotate(angle) for angle in (0, 40, 80)]
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
    return buffer.getvalue()


EXIF_CUT = b"Exif\0\0II*\0"
EXIF_ODD = b"Exif\0\0II*\0\x08\0\0\0\x02\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\x1a\x01\x0a\0\x01\0\0\0\x26\0\0\0\0\0\0\0\xff\xff\xff\xff\0\0\0\0"
READ: dict[str, Callable[[], bytes]] = {
    "animated.png": lambda: animated("PNG"),
    "animated.webp": lambda: animated("WEBP"),
    "cmyk.jpg": lambda: encoded("JPEG", mode="CMYK", exif=EXIF_CUT),
    "exif cut.png": lambda: encoded("PNG", exif=EXIF_CUT),
    "exif odd.png": lambda: encoded("PNG", exif=EXIF_ODD),
    "exif odd.webp": lambda: encoded("WEBP", exif=EXIF_ODD),
    "exif odd.jpg": lambda: encoded("JPEG", exif=EXIF_ODD),
    "16 bit.png": lambda: encoded("PNG", mode="I;16"),
    "palette.png": lambda: encoded("PNG", mode="P"),
    "rgba.webp": lambda: encoded("WEBP", mode="RGBA"),
    "icc.jpg": lambda: encoded("JPEG", icc_profile=b"\0" * 200),
    "png called.jpg": lambda: encoded("PNG"),
    "trailer.jpg": lambda: encoded("JPEG") + b"phone" * 50,
    "UPPER.JPG": lambda: encoded("JPEG"),
}
LEFT_OUT: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.jpg": (lambda: b"", "is empty"),
    "text.jpg": (lambda: b"not a picture", "is no JPEG"),
    "dot.png": (lambda: encoded("PNG", (1, 1)), "1x1 pixels"),
    "huge.png": (lambda: encoded("PNG", (12_000, 9_000), "1"), "pixels"),
    "thin.png": (lambda: encoded("PNG", (900, 5)), "times longer"),
    "cut.jpg": (lambda: encoded("JPEG", (200, 200), quality=99)[:900], "decoded"),
    "cut.png": (lambda: encoded("PNG", (200, 200))[:-40], "is no JPEG"),
    "gif called.jpg": (lambda: encoded("GIF"), "is no JPEG"),
    "clip called.jpg": (lambda: b"\0\0\0 ftypisom" + b"\0" * 200, "is no JPEG"),
    "some.gif": (lambda: encoded("GIF"), "convert it"),
    "some.tiff": (lambda: encoded("TIFF"), "convert it"),
    "README.txt": (lambda: b"hello", "is no picture"),
    "film.mp4": (lambda: b"\0\0\0 ftypisom", "a clip"),
    "more.zip": (lambda: b"PK", "an archive within"),
}


@pytest.mark.parametrize("name", READ)
def test_an_odd_picture_is_read_with_its_own_bytes(name: str, tmp_path: Path) -> None:
    class_folders(tmp_path / "photos")
    path = tmp_path / "photos" / "cup" / name
    path.write_bytes(READ[name]())
    data, left_out, _ = read(tmp_path / "photos", tmp_path / "data", strict=True)
    (row,) = [row for row in data.manifest.frames if row.source == f"cup/{name}"]
    assert left_out == {}
    assert (data.folder / row.file).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_is_no_picture_is_listed_with_its_reason_and_refused_where_strict(name: str, tmp_path: Path) -> None:
    make, why = LEFT_OUT[name]
    class_folders(tmp_path / "photos")
    (tmp_path / "photos" / "cup" / name).write_bytes(make())
    data, left_out, _ = read(tmp_path / "photos", tmp_path / "data")
    assert list(left_out) == [f"cup/{name}"]
    assert why in left_out[f"cup/{name}"]
    assert len(data.manifest.frames) == 12
    assert json.loads((data.folder / "sources.json").read_text())["left_out"] == [
        {"file": f"cup/{name}", "why": left_out[f"cup/{name}"]}
    ]
    with pytest.raises(InputError, match="strict"):
        read(tmp_path / "photos", tmp_path / "strict", strict=True)
    assert not (tmp_path / "strict").exists()


def test_links_pipes_and_hidden_files_are_not_followed_and_not_waited_for(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    class_folders(root)
    draw(tmp_path / "outside.jpg", 99)
    (root / "cup" / "out.jpg").symlink_to(tmp_path / "outside.jpg")
    (root / "cup" / "in.jpg").symlink_to("0.jpg")
    (root / "cup" / "gone.jpg").symlink_to("nothing")
    (root / "cup" / "loop").symlink_to(root)
    os.mkfifo(root / "cup" / "pipe.jpg")
    (root / "cup" / "Thumbs.db").write_bytes(b"x")
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / "a.jpg").write_bytes(b"x")
    data, left_out, _ = read(root, tmp_path / "data")
    assert left_out == {
        "cup/out.jpg": "a link out of the folder",
        "cup/gone.jpg": "a link to nothing",
        "cup/loop": "a link to a folder",
        "cup/pipe.jpg": "a pipe",
    }
    assert len(data.manifest.frames) == 13
    assert json.loads((data.folder / "sources.json").read_text())["ignored"] == 2


def test_sub_folders_of_a_class_are_read_as_that_class_and_said(tmp_path: Path) -> None:
    class_folders(tmp_path / "photos")
    draw(tmp_path / "photos" / "cup" / "monday" / "deep" / "0.jpg", 50)
    draw(tmp_path / "photos" / "cup" / "tuesday" / "0.jpg", 50)  # the same bytes, the same name
    data, _, notes = read(tmp_path / "photos", tmp_path / "data")
    assert {row.source for row in data.manifest.frames if row.label == "cup"} >= {"cup/monday/deep/0.jpg", "cup/tuesday/0.jpg"}
    assert "class 'cup': 2 images in sub-folders, read as this class" in notes


@pytest.mark.parametrize(
    ("names", "count"), [(("a.jpg", "A.jpg"), 2), (("\u00e9.jpg", "e\u0301.jpg"), 2), (("a.jpg", "a.jpeg"), 2)]
)
def test_names_that_some_file_systems_take_for_one_stay_two(names: tuple[str, str], count: int, tmp_path: Path) -> None:
    class_folders(tmp_path / "photos")
    for name in names:
        draw(tmp_path / "photos" / "cup" / name, 77)
    if len(list((tmp_path / "photos" / "cup").iterdir())) < 6 + count:
        pytest.skip("this file system takes them for one")
    data, _, _ = read(tmp_path / "photos", tmp_path / "data")
    files = [row.file.casefold() for row in data.manifest.frames if Path(row.source).name in names]
    assert len(set(files)) == len(files) == count


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "an empty class": (lambda root: (root / "pen").mkdir(), "class 'pen': has no images"),
    "a class of text": (
        lambda root: [(root / "pen").mkdir(), (root / "pen" / "0.jpg").write_text("x")],
        "class 'pen': has no image",
    ),
    "splits and more": (lambda root: [split_folders(root), draw(root / "extra" / "0.jpg", 1)], "beside them"),
    "two layouts": (lambda root: [yolo(root), (root / "x.xml").write_text("<annotation/>")], "several layouts at once"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_meant_is_one_line_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    change, message = REFUSED[name]
    root = tmp_path / "photos"
    root.mkdir()
    if name != "two layouts":
        class_folders(root)
    change(root)
    with pytest.raises(InputError, match=message):
        read(root, tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "holds no images and no clips"),
        (["a.txt", "b.pdf"], r"1 .txt, 1 .pdf|1 .pdf, 1 .txt"),
        (["1.jpg", "2.jpg"], "2 images and neither class folders nor annotations"),
        (["cup/1.jpg", "cup/2.jpg"], "one class only"),
        (["train/1.jpg", "val/2.jpg"], "no folder per class"),
    ],
)
def test_an_unknown_layout_says_what_was_seen_and_what_is_known(files: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number, name in enumerate(files):
        draw(tmp_path / "photos" / name, number) if name.endswith("jpg") else (tmp_path / "photos" / name).write_text("x")
    with pytest.raises(InputError, match=message):
        read(tmp_path / "photos", tmp_path / "data")


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
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
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
        file.writestr(link, "/etc/passwd")
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


def mutated(content: bytes, dice: random.Random) -> bytes:
    """A file as damage, editors and foreign tools leave it."""
    data = bytearray(content)
    tokens = [
        b"nan",
        b"-1",
        b"1e999",
        b'""',
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"../",
        b"\0",
        b"9" * 30,
        b"&x;",
        b"true",
        b"\\ud800",
        b"\n",
    ]
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(4):
            case 0:
                data[at : at + dice.randint(1, 12)] = dice.choice(tokens)
            case 1:
                del data[at:]
            case 2:
                data[at:at] = data[: dice.randint(0, 60)]
            case _:
                data[at : at + 1] = bytes([dice.randrange(256)])
    return bytes(data)


@pytest.mark.parametrize(
    "name", [name for name in FORMATS if name not in {"class folders", "split folders", "splits in class folders"}]
)
def test_damaged_annotations_end_in_a_data_set_or_in_one_line_and_every_file_is_accounted_for(
    name: str, tmp_path: Path
) -> None:
    root, dice = tmp_path / "export", random.Random(name)  # noqa: S311 damage that is the same each time
    root.mkdir()
    FORMATS[name][0](root)
    texts = sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".jpg")
    whole = {path: path.read_bytes() for path in texts}
    lines = list[str]()
    for turn in range(25):
        chosen = dice.sample(texts, min(len(texts), dice.randint(1, 3)))
        for path in chosen:
            path.write_bytes(mutated(whole[path], dice))
        with_source: list[Source] = []
        try:
            with opened(root, Data()) as source:
                with_source.append(source)
                data = write_dataset(source, tmp_path / f"data{turn}", Dealing(Split()), quiet)
            _accounted(root, data, with_source[0])
        except ModelyardError as error:
            lines.append(str(error))
        for path in chosen:
            path.write_bytes(whole[path])
    assert [line for line in lines if len(line.splitlines()) != 1 or not line.encode()] == []


def _accounted(root: Path, data: DataSet, source: Source) -> None:
    """Every file was read as a picture or an annotation, or is listed once; none is both."""
    data.verify()
    files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    pictures = {row.source for row in data.manifest.frames}
    used = {path.as_posix() for path in source.layout.used}  # type: ignore[attr-defined]
    listed = {item.file for item in left_out_of(source)} & files
    assert pictures | used | listed == files
    assert not pictures & listed
    assert not used & listed


@pytest.mark.parametrize("seed", range(12))
def test_any_tree_of_files_is_accounted_for(seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)  # noqa: S311 trees that are the same each time
    root = tmp_path / "tree"
    folders = [
        root,
        root / "train",
        root / "val",
        root / "a",
        root / "b",
        root / "a" / "x",
        root / "train" / "a",
        root / "val" / "b",
    ]
    folders = dice.sample(folders, dice.randint(2, len(folders)))
    makers = [*READ.values()] + [make for name, (make, _) in LEFT_OUT.items() if name != "huge.png"]
    for number in range(30):
        folder = dice.choice(folders)
        folder.mkdir(parents=True, exist_ok=True)
        ending = dice.choice(["jpg", "png", "webp", "txt", "json", "xml", "yaml", "csv", "mp4", "gif", "JPG", ""])
        (folder / f"{number}.{ending}").write_bytes(dice.choice(makers)())
    line = ""
    try:
        with opened(root, Data()) as source:
            if source.kind == "clips":
                return
            data = write_dataset(source, tmp_path / "data", Dealing(Split()), quiet)
        _accounted(root, data, source)
    except InputError as error:
        line = str(error)
    assert len(line.splitlines()) <= 1
