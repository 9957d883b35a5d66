"""A Keras file is looked through before anything opens it, and answers as it did once it is ours."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from foreign_world import LABELS, TF_PYTHON, answers_of, bring, expected, weights

from pipelines.data.dataset import DataSet
from pipelines.training.foreign.keras_file import read_config
from pipelines.training.foreign.options import Options
from registry.errors import InputError, IntegrityError, ModelyardError, UnavailableError

SCRIPT = """
import json, sys
import keras, numpy as np
matrix, bias, folder = json.loads(sys.argv[1])
images = keras.Input((32, 32, 3))
x = keras.layers.Rescaling(1 / 255)(images)
x = keras.layers.GlobalAveragePooling2D()(x)
dense = keras.layers.Dense(3)
keras_model = keras.Model(images, dense(x))
dense.set_weights([np.array(matrix), np.array(bias)])
keras_model.save(folder + "/good.keras")
keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Lambda(lambda x: x * 2)]).save(folder + "/lambda.keras")
"""


def save_keras(folder: Path) -> Path:
    """`good.keras`, whose labels are in reverse order; `lambda.keras` lies beside it."""
    if not TF_PYTHON.exists():
        pytest.skip("the TensorFlow environment is not here; `make setup` builds it")
    matrix, bias = weights(labels=LABELS[::-1])
    job = json.dumps([matrix.tolist(), bias.tolist(), str(folder)])
    subprocess.run([TF_PYTHON, "-I", "-c", SCRIPT, job], check=True, capture_output=True)
    return folder / "good.keras"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier whose outputs are logits, in another order, of bytes; and one with a lambda."""
    return save_keras(tmp_path_factory.mktemp("keras")).parent


def test_a_classifier_of_bytes_logits_and_another_order_is_the_same_model(made: Path, painted: DataSet, tmp_path: Path) -> None:
    spoken = list[str]()
    brought = bring(made / "good.keras", painted, tmp_path / "work", Options(labels=tuple(LABELS[::-1])), spoken)
    files = painted.files(painted.rows("test"))
    assert np.abs(answers_of(brought, files) - expected(painted, files)).max() < 1e-4
    assert (brought.info.framework, brought.info.preprocess.layout, brought.info.labels) == ("keras", "NHWC", LABELS)
    assert brought.params["normalise"] == "0..255"
    assert "its outputs are logits: a softmax is added" in spoken


def test_a_lambda_is_refused_before_keras_is_started(made: Path, painted: DataSet, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="has a layer of code, Lambda, which would run here"):
        bring(made / "lambda.keras", painted, tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == []


def keras_file(path: Path, config: object, **members: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
        archive.writestr("model.weights.h5", "")
        for name, text in members.items():
            archive.writestr(name.replace("__", "/"), text)
    return path


def layer(name: str, module: str = "keras.layers", **config: object) -> dict[str, object]:
    return {
        "class_name": "Sequential",
        "module": "keras",
        "config": {"layers": [{"class_name": name, "module": module, "config": config}]},
    }


HOSTILE = {
    "a module to import": (layer("system", "os"), "names code of a package, os.system"),
    "a package's layer": (layer("Attention", "acme.layers"), "names code of a package, acme.layers.Attention"),
    "keras' own loaders": (layer("get_file", "keras.src.utils.file_utils"), "names code of a package, keras.src.utils"),
    "a pickled torch module": (layer("TorchModuleWrapper"), "a layer of code, TorchModuleWrapper"),
    "a saved model": (layer("TFSMLayer", filepath="/x"), "a layer of code, TFSMLayer"),
    "a lambda deep inside": (
        layer("Dense", activation={"class_name": "__lambda__", "config": {}}),
        "a layer of code, __lambda__",
    ),
    "a file of the machine": (layer("StringLookup", vocabulary="/etc/passwd"), "can read files, StringLookup"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_could_run_code_or_read_files_is_named(case: str, tmp_path: Path) -> None:
    config, message = HOSTILE[case]
    with pytest.raises(IntegrityError, match=re.escape(message)):
        read_config(keras_file(tmp_path / "a.keras", config), "a.keras")


def test_members_that_a_network_has_no_need_of_are_named(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"holds 'assets/vocabulary\.txt'"):
        read_config(keras_file(tmp_path / "a.keras", {}, **{"assets__vocabulary.txt": "x"}), "a.keras")
    with pytest.raises(IntegrityError, match=r"holds '\.\./\.\./escape'"):
        read_config(keras_file(tmp_path / "b.keras", {}, **{"..__..__escape": "x"}), "b.keras")
    for text in ("[1]", "{", ""):
        with pytest.raises(InputError):
            read_config(keras_file(tmp_path / "c.keras", text), "c.keras")


@pytest.mark.parametrize(
    ("shape", "message"),
    [([None, 3, 32, 32], "channels last"), ([None, 32, 48, 3], "takes 32 x 48"), ([None, 32, 32, 1], "channels")],
)
def test_what_takes_no_square_of_three_channels_is_one_line(
    shape: list[int], message: str, painted: DataSet, tmp_path: Path, made: Path
) -> None:
    path = keras_file(tmp_path / "a.keras", layer("InputLayer", batch_shape=shape))
    with pytest.raises(InputError, match=message):
        bring(path, painted, tmp_path / "work")


def test_a_file_that_keras_cannot_open_is_one_line(made: Path, painted: DataSet, tmp_path: Path) -> None:
    path = keras_file(tmp_path / "a.keras", layer("InputLayer", batch_shape=[None, 32, 32, 3]))
    with pytest.raises(ModelyardError, match=r"cannot be opened by Keras 3") as caught:
        bring(path, painted, tmp_path / "work")
    assert "\n" not in str(caught.value)


def test_without_the_tensorflow_environment_it_says_how_to_get_it(
    painted: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import foreign_world

    monkeypatch.setattr(foreign_world, "TF_PYTHON", tmp_path / "nothing")
    path = keras_file(tmp_path / "a.keras", layer("InputLayer", batch_shape=[None, 32, 32, 3]))
    with pytest.raises(UnavailableError, match="make setup"):
        bring(path, painted, tmp_path / "work")
