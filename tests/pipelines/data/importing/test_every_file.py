"""Whatever is damaged and however files lie: each is read, or listed once, or the whole is refused in one line."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from folders_of_formats import FORMATS
from odd_pictures import LEFT_OUT, READ, quiet

from pipelines.data.build import Dealing, write_dataset
from pipelines.data.dataset import DataSet
from pipelines.data.importing.open import left_out_of, opened
from pipelines.data.source import Source
from pipelines.job.jobfile import Data, Split
from registry.errors import InputError, ModelyardError


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
