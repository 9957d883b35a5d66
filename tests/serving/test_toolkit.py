"""The handler among the packages of Hugging Face's own image: what it asks for fits, changes none of them, and answers."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from serving.inference.standalone import StandalonePredictor
from serving.targets.huggingface.package import repository_files

pytestmark = pytest.mark.journey

ROOT = Path(__file__).resolve().parents[2]
IMAGE = Path(__file__).with_name("toolkit_image.in")
HANDLER = """
import base64, importlib.util, io, json, sys
import numpy, PIL
from PIL import Image
spec = importlib.util.spec_from_file_location("handler", sys.argv[1] + "/handler.py")
module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
handler, answers = module.EndpointHandler(sys.argv[1]), []
for text in json.load(sys.stdin):
    data = base64.b64decode(text)
    answers.append([handler({"inputs": one}) for one in (data, text, Image.open(io.BytesIO(data)))])
print(json.dumps([answers, numpy.__version__, PIL.__version__]))
"""


class Index:
    """A package index, asked with uv."""

    def __init__(self, folder: Path) -> None:
        spec = importlib.util.spec_from_file_location("environments", ROOT / "tools" / "environments.py")
        assert spec is not None
        assert spec.loader is not None
        tools = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tools)
        self._uv, self.folder, self._more = tools.uv(), folder, tools.pip_configuration()

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [self._uv, *arguments]
        return subprocess.run(
            command, env=os.environ | self._more, cwd=self.folder, capture_output=True, text=True, check=False
        )

    def resolve(self, *files: Path) -> subprocess.CompletedProcess[str]:
        """The versions that an installation of requirements comes to."""
        return self.run("pip", "compile", "-q", "--python-version", "3.11", "--no-header", "--no-annotate", *files)


def versions(lines: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", lines, re.MULTILINE))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the image holds Python 3.11, and this is another one")
    try:
        made = Index(tmp_path_factory.mktemp("toolkit"))
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("uv cannot be installed")
    (made.folder / "one.in").write_text("idna\n")
    if made.resolve(made.folder / "one.in").returncode:
        pytest.skip("the package index cannot be reached")
    return made


@pytest.fixture(scope="module")
def image(index: Index) -> dict[str, str]:
    """Package → its version in the image."""
    done = index.resolve(IMAGE)
    assert done.returncode == 0, done.stderr
    return versions(done.stdout)


@pytest.fixture(scope="module")
def repository(make_bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is published, laid out as it is mounted."""
    folder = tmp_path_factory.mktemp("published")
    bundle = make_bundle(folder / "bundle")
    for name, content in repository_files(bundle).items():
        path = folder / "repository" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.read_bytes() if isinstance(content, Path) else content)
    return folder / "repository"


def test_what_the_handler_asks_for_changes_no_package_of_the_image(
    index: Index, image: dict[str, str], repository: Path
) -> None:
    done = index.resolve(IMAGE, repository / "requirements.txt")
    assert done.returncode == 0, done.stderr
    together = versions(done.stdout)
    assert {name: together.get(name) for name in image} == image
    assert {"onnxruntime", "simplejpeg"} <= together.keys() - image.keys()


@pytest.mark.parametrize("oldest", [False, True], ids=["of the image", "the oldest allowed"])
def test_it_answers_on_the_image_s_numpy_and_pillow_as_here(
    index: Index, image: dict[str, str], repository: Path, picture, oldest: bool
) -> None:
    wanted = (repository / "requirements.txt").read_text()
    floors = dict(re.findall(r"^(numpy|pillow)>=(\S+)$", wanted, re.MULTILINE))
    shared = {name: f"{floor}.*" if oldest else image[name] for name, floor in floors.items()}
    python = installed(index, [*wanted.splitlines(), *(f"{name}=={version}" for name, version in shared.items())])
    given = [picture(colour, kind=kind) for colour in ("red", "green", "blue") for kind in ("PNG", "JPEG", "WEBP")]
    texts = json.dumps([base64.b64encode(data).decode() for data in given])
    command = [python, "-I", "-c", HANDLER, repository]
    done = subprocess.run(command, input=texts, capture_output=True, text=True, cwd=index.folder, check=False)
    assert done.returncode == 0, done.stderr
    answers, numpy_version, _ = json.loads(done.stdout)
    assert numpy_version.startswith("1.26")
    here = StandalonePredictor(repository)
    for data, kinds in zip(given, answers, strict=True):
        right = here.predict(data)["probabilities"]
        for answer in kinds:
            assert {row["label"]: row["score"] for row in answer} == pytest.approx(right, abs=1e-5)


def installed(index: Index, requirements: list[str]) -> Path:
    """An interpreter that sees these packages, and nothing else."""
    folder = index.folder / f"venv{len(list(index.folder.iterdir()))}"
    (index.folder / "wanted.in").write_text("\n".join(requirements))
    made = index.run("venv", "-q", "--python", f"{sys.base_prefix}/bin/python3", folder)
    done = index.run("pip", "install", "-q", "--python", folder / "bin/python", "-r", "wanted.in")
    assert (made.returncode, done.returncode) == (0, 0), made.stderr + done.stderr
    return folder / "bin" / "python"
