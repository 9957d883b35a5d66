"""What Ultralytics is shown: copies that it reads as we do, and never the files themselves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.data.dataset import DataSet
from registry.errors import InputError
from serving.bundle.preprocess import Preprocess

pytest.importorskip("ultralytics", reason="the yolo trainer is an extra")
sys.path.insert(0, str(Path(__file__).parent))
from picture_kinds import KINDS, LABELS, every_kind, fingerprint, mutations

pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
AWKWARD = "a *, [0-9] #1 train val images .cache"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """Every kind of picture, in a folder whose name is a pattern."""
    return every_kind(tmp_path_factory.mktemp("set") / AWKWARD)


@pytest.fixture(scope="module", params=["full", "reduced"])
def seen(request: pytest.FixtureRequest, data: DataSet, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Ultralytics' own loader of each split takes from the view; the data set is untouched by both."""
    from pipelines.training.trainers.offline import ultralytics
    from pipelines.training.trainers.views import classification_view

    work, preprocess = tmp_path_factory.mktemp("work"), Preprocess(size=32, decode=request.param)
    ultralytics(work)
    before = fingerprint(data.folder)
    view = classification_view(data, work / "data", preprocess)
    loaders = {split: _loader(view / split) for split in ("train", "val")}
    assert fingerprint(data.folder) == before
    return {"view": view, "preprocess": preprocess, **loaders}


def _loader(folder: Path) -> Any:
    from ultralytics.cfg import get_cfg
    from ultralytics.data.dataset import ClassificationDataset

    return ClassificationDataset(str(folder), get_cfg(overrides={"imgsz": 32, "task": "classify"}), augment=False)


def by_number(loader: Any) -> dict[int, Any]:
    """The samples by the number of the picture that each is a copy of."""
    return {int(Path(sample[0]).stem): sample for sample in loader.samples}


@pytest.mark.parametrize("name", KINDS)
def test_ultralytics_decodes_to_our_pixels(data: DataSet, seen: dict[str, Any], name: str) -> None:
    number = list(KINDS).index(name)
    for split in ("train", "val"):
        file = data.files(data.rows(split))[number]
        read = seen[split].imread(by_number(seen[split])[number][0])
        assert np.array_equal(read[..., ::-1], seen["preprocess"].open(file.read_bytes(), name))


def test_no_picture_is_left_out_and_classes_have_the_numbers_of_their_labels(data: DataSet, seen: dict[str, Any]) -> None:
    for split in ("train", "val"):
        targets = {number: sample[1] for number, sample in by_number(seen[split]).items()}
        assert targets == dict(enumerate(data.targets(data.rows(split))))
        assert sorted(path.name for path in (seen["view"] / split).iterdir()) == [
            f"{index:02d}" for index in range(len(LABELS))
        ]
    assert not (seen["view"] / "test").exists()


def test_a_copy_shares_nothing_with_the_file_it_is_of(data: DataSet, seen: dict[str, Any]) -> None:
    theirs = {path.stat().st_ino for path in data.folder.rglob("*")}
    for path in seen["view"].rglob("*"):
        assert not path.is_symlink()
        assert path.is_dir() or path.stat().st_nlink == 1
        assert path.stat().st_ino not in theirs


def test_ordinary_jpegs_are_copied_as_they_are(data: DataSet, seen: dict[str, Any]) -> None:
    copies = {number: Path(sample[0]) for number, sample in by_number(seen["val"]).items()}
    for name in ("plain.jpg", "odd sides.jpg", "progressive.jpg", "grey.jpg", "turned by EXIF 6.jpg", "a*.jpg"):
        copy = copies[list(KINDS).index(name)]
        assert copy.read_bytes() == KINDS[name] if copy.suffix == ".jpg" else seen["preprocess"].decode == "reduced", name


def test_what_ultralytics_would_leave_out_is_refused_by_its_name(data: DataSet, tmp_path: Path) -> None:
    from pipelines.training.trainers.views import classification_view

    row = data.rows("train")[0]
    small = DataSet(data.folder, data.manifest.model_copy(update={"frames": [row.model_copy(update={"width": 9})] * 3}))
    with pytest.raises(InputError, match=r"plain\.jpg.*smaller than 10 pixels a side, as 2 more are.*--trainers torch,keras"):
        classification_view(small, tmp_path / "view", Preprocess(size=32))
    assert not (tmp_path / "view").exists()


@pytest.mark.filterwarnings("ignore")
def test_whatever_damaged_file_we_read_ultralytics_reads_alike_and_leaves_alone(tmp_path: Path) -> None:
    from ultralytics.data.utils import verify_image
    from ultralytics.utils.patches import imread

    from pipelines.training.trainers.views import numbered_copies

    whole, pictures = Preprocess(size=32), list[tuple[Path, NDArray[np.uint8]]]()
    for number, content in enumerate(mutations(seed=7, count=1500)):
        try:
            picture = whole.open(content)
        except InputError:
            continue
        if min(picture.size) >= 10:
            pictures.append((tmp_path / f"{number}.jpg", np.asarray(picture)))
            pictures[-1][0].write_bytes(content)
    assert len(pictures) > 300
    copies = numbered_copies([file for file, _ in pictures], tmp_path / "copies", whole)
    before = fingerprint(tmp_path)
    for copy, (file, pixels) in zip(copies, pictures, strict=True):
        _, accepted, *_ = verify_image(((str(copy), 0), ""))
        assert accepted, file
        assert np.array_equal(imread(copy)[..., ::-1], pixels), file
    assert fingerprint(tmp_path) == before


@pytest.mark.parametrize("names", [["n01440764", "n02102040"], {0: "n01440764", 1: "other"}, {"0": "n0", "1": "b"}])
def test_a_checkpoint_that_is_registered_keeps_the_names_of_its_classes(
    names: list[str] | dict[int, str], tmp_path: Path
) -> None:
    from pipelines.training.trainers.checkpoint import describe
    from pipelines.training.trainers.offline import ultralytics

    model = ultralytics(tmp_path)("yolov8n-cls.yaml", task="classify", verbose=False)
    model.model.names = names
    assert describe(model, "yolov8n-cls", 32, "d").labels == list(names.values() if isinstance(names, dict) else names)
