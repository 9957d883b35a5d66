"""A bundle serves only as it was sealed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from registry.errors import InputError, IntegrityError, NotFoundError
from serving.bundle.bundle import open_bundle
from serving.inference.predictor import Predictor, load_predictor


@pytest.fixture
def folder(make_bundle, tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle").folder


def test_it_knows_its_colours(folder: Path, picture: Callable[..., bytes]) -> None:
    predictions = load_predictor(folder).predict([picture("red"), picture("lime"), picture("blue")])
    assert [prediction.label for prediction in predictions] == ["red", "green", "blue"]
    assert all(sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-5) for prediction in predictions)


def test_a_batch_answers_as_its_images_do_one_by_one(folder: Path, picture: Callable[..., bytes]) -> None:
    predictor = load_predictor(folder)
    images = [picture("red"), picture("orange", (90, 20)), picture("blue", (32, 32))]
    alone = np.concatenate([predictor.probabilities([image]) for image in images])
    assert np.allclose(predictor.probabilities(images), alone, atol=1e-6)


@pytest.mark.parametrize("name", ["model.onnx", "labels.json", "preprocess.json"])
def test_one_changed_byte_refuses_to_open_and_names_the_file(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(IntegrityError, match=name):
        open_bundle(folder)


def test_a_file_too_many_or_too_few_refuses_to_open(folder: Path) -> None:
    (folder / "extra.pkl").write_bytes(b"cos\nsystem\n")
    with pytest.raises(IntegrityError, match=r"extra\.pkl"):
        open_bundle(folder)
    (folder / "extra.pkl").unlink()
    (folder / "labels.json").unlink()
    with pytest.raises(IntegrityError, match=r"labels\.json"):
        open_bundle(folder)


def test_a_folder_without_an_index_was_never_finished(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(NotFoundError, match="no complete bundle"):
        open_bundle(tmp_path)
    (tmp_path / "bundle.json").write_text("{}")
    with pytest.raises(InputError, match="not a bundle's index"):
        open_bundle(tmp_path)


def test_something_else_renamed_to_onnx_is_one_line(make_bundle, tmp_path: Path) -> None:
    from serving.bundle.bundle import Bundle
    from serving.bundle.seal import seal

    bundle = make_bundle(tmp_path / "bundle")
    (bundle.folder / "bundle.json").unlink()
    bundle.onnx.write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(IntegrityError, match="ONNX Runtime cannot load it"):
        Predictor(Bundle(bundle.folder, seal(bundle.folder, bundle.index)))


def test_the_same_bytes_give_the_same_digest(make_bundle, tmp_path: Path) -> None:
    bundle, other = make_bundle(tmp_path / "one"), make_bundle(tmp_path / "other")
    assert bundle.index.digest == other.index.digest
    assert make_bundle(tmp_path / "third", gain=21.0).index.digest != bundle.index.digest


def test_the_serving_process_refuses_a_broken_bundle_with_one_line(folder: Path) -> None:
    import subprocess
    import sys

    (folder / "labels.json").write_text("[]")
    done = subprocess.run(
        [sys.executable, "-m", "serving.start", "--bundle", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "labels.json" in done.stderr
