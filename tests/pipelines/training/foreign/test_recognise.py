"""A file is what its bytes are and is called so: anything else is spoken in one line, and nothing is opened."""

from __future__ import annotations

import pickle
import sys
import zipfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from foreign_world import onnx_network, program, torch_network

from pipelines.training.foreign.options import KNOWN, read_options
from pipelines.training.foreign.recognise import recognise
from registry.errors import InputError, NotFoundError


def archive(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for name in names:
            made.writestr(name, "{}")
    return path


def test_each_kind_is_known_by_its_name_and_its_bytes(tmp_path: Path) -> None:
    assert recognise(onnx_network(tmp_path / "a.onnx")) == "onnx"
    assert recognise(program(tmp_path / "a.pt2", torch_network())) == "torch_program"
    assert recognise(archive(tmp_path / "a.keras", "config.json", "metadata.json", "model.weights.h5")) == "keras"
    for name, kind in (("config.json", "hugging_face"), ("MLmodel", "mlflow")):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / name).write_text("{}")
        assert recognise(tmp_path / kind) == kind


BYTES = {
    "an empty file": b"",
    "a pickle": pickle.dumps({"a": [1, 2, 3] * 20}),
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(60),
    "a JPEG": b"\xff\xd8\xff\xe0" + bytes(60),
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "a damaged zip archive": b"PK\x03\x04" + bytes(60),
}


@pytest.mark.parametrize("suffix", [".onnx", ".pt2", ".keras"])
@pytest.mark.parametrize("content", BYTES)
def test_bytes_of_another_kind_are_named(content: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(BYTES[content])
    with pytest.raises(InputError, match=f"is {content}.*is named {suffix}") as caught:
        recognise(path)
    assert "\n" not in str(caught.value)


def test_one_kind_of_archive_is_not_another(tmp_path: Path) -> None:
    good = program(tmp_path / "good.pt2", torch_network())
    for suffix in (".onnx", ".keras", ".pt"):
        (wrong := tmp_path / f"wrong{suffix}").write_bytes(good.read_bytes())
        with pytest.raises(InputError, match=r"is a torch\.export program"):
            recognise(wrong)
    with pytest.raises(InputError, match=r"is a Keras model, and is named \.onnx"):
        recognise(archive(tmp_path / "k.onnx", "config.json", "metadata.json"))
    with pytest.raises(InputError, match=r"is a pickle of PyTorch, and is named \.pt2"):
        recognise(archive(tmp_path / "p.pt2", "best/data.pkl", "best/data/0"))
    with pytest.raises(InputError, match=r"is a zip archive, and is named \.onnx"):
        recognise(archive(tmp_path / "z.onnx", "a.txt"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.h5", "Keras' old format; save it again as .keras"),
        ("model.pth", "a pickle of PyTorch; export it"),
        ("model.pkl", "a pickle, which runs code"),
        ("model.tflite", "TensorFlow Lite"),
        ("model.safetensors", "weights without a network; give the folder"),
        ("model.txt", "none of the files that can be registered"),
    ],
)
def test_formats_that_are_not_taken_say_what_to_do(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("x")
    with pytest.raises(InputError, match=message):
        recognise(tmp_path / name)


def test_what_is_not_there_and_folders_without_a_model_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"is not there; name a \.pt of Ultralytics"):
        recognise(tmp_path / "none.onnx")
    with pytest.raises(InputError, match="neither MLflow's MLmodel nor Hugging Face's"):
        recognise(tmp_path)
    (tmp_path / "saved_model.pb").write_text("x")
    with pytest.raises(InputError, match="is a TensorFlow SavedModel"):
        recognise(tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"normalise": "imagnet"}, "did you mean 'imagenet'"),
        ({"normalise": "imagenet", "mean": "0.5"}, "beside --mean"),
        ({"mean": "0.5,0.5"}, "not one number or three"),
        ({"mean": "nan"}, "not one number or three"),
        ({"std": "0.2,0,0.2"}, "above 0"),
        ({"layout": "nhw"}, "did you mean"),
        ({"outputs": "softmax"}, "none of logits, probabilities"),
        ({"resize": "squash"}, "none of shortest, both"),
        ({"labels": "cup"}, "two classes or more"),
        ({"labels": "cup,,box"}, "two classes or more"),
        ({"labels": "cup,cup"}, "names 'cup' twice"),
    ],
)
def test_an_option_that_says_nothing_sensible_is_one_line(fields: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_options(fields, None)


def test_options_are_read() -> None:
    options = read_options({"labels": "cup, box", "mean": "0.5", "std": "0.1,0.2,0.3", "layout": "NHWC"}, 64)
    assert (options.labels, options.size, options.layout) == (("cup", "box"), 64, "nhwc")
    assert options.normalise is not None
    assert (options.normalise.mean, options.normalise.std) == ((0.5, 0.5, 0.5), (0.1, 0.2, 0.3))
    assert read_options({"normalise": "-1..1"}, None).normalise == KNOWN["-1..1"]
    for size in (0, 4, 5000):
        with pytest.raises(InputError, match="is not between 8 and 2048"):
            read_options({}, size)
