"""The browser package as others get it: packed, installed, and run by the example of its page; and whose code comes along."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
BROWSER = ROOT / "serving" / "browser"
PAGE = ROOT / "docs" / "browser.md"
PERMISSIVE = {"MIT", "Apache-2.0", "BSD-3-Clause", "BSD-2-Clause", "ISC", "0BSD"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose `node_modules` holds the packed package beside its dependencies."""
    npm = shutil.which("npm")
    if not npm or not (BROWSER / "dist" / ".complete").exists():
        pytest.skip("needs npm, and the TypeScript compiled by `make setup`")
    folder = tmp_path_factory.mktemp("installed")
    command = [npm, "pack", "--json", "--ignore-scripts", "--offline", "--pack-destination", str(folder)]
    done = subprocess.run(command, cwd=BROWSER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    modules = folder / "node_modules"
    modules.mkdir()
    for path in (BROWSER / "node_modules").resolve().iterdir():
        (modules / path.name).symlink_to(path)
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        archive.extractall(folder, filter="data")
    (folder / "package").rename(modules / "modelyard-browser")
    return folder


def test_it_holds_its_modules_with_their_types_and_its_licence(installed: Path) -> None:
    package = installed / "node_modules" / "modelyard-browser"
    files = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    assert {
        "package.json",
        "LICENSE",
        "LICENSES.md",
        "dist/index.js",
        "dist/index.d.ts",
        "dist/node.js",
        "dist/node.d.ts",
    } <= files
    assert not [
        name for name in files if name.startswith(("src/", "test/", "space/", "node_modules/")) or name.endswith(".wasm")
    ]
    assert (package / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    about = json.loads((package / "package.json").read_text())
    for entry in about["exports"].values():
        assert {path.removeprefix("./") for path in entry.values()} <= files
    assert all(re.fullmatch(r"[\d.]+", version) for version in about["dependencies"].values()), "pinned exactly"


def test_the_example_of_the_page_runs(installed: Path, make_bundle: Callable[..., Any], picture: Callable[..., bytes]) -> None:
    from pipelines.bundles.tools import find_node

    example, *_ = re.findall(r"```js\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(example.strip().splitlines()) <= 10
    make_bundle(installed / "hand-bundle")
    (installed / "hand.jpg").write_bytes(picture("blue", kind="JPEG"))
    (installed / "example.mjs").write_text(example)
    done = subprocess.run([find_node(), "example.mjs"], cwd=installed, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    label, engine = done.stdout.split()
    assert (label, engine) == ("blue", "onnx-wasm")


def shipped() -> set[tuple[str, str, str]]:
    """What is installed with the package: the name, version and licence of each package of the lock that is no tool."""
    packages = json.loads((BROWSER / "package-lock.json").read_text())["packages"]
    return {
        (path.rpartition("node_modules/")[2], about["version"], about.get("license", ""))
        for path, about in packages.items()
        if path and not about.get("dev") and not about.get("devOptional")
    }


def test_the_licences_of_what_is_shipped_are_listed_and_permissive() -> None:
    rows = re.findall(r"^\| `(.+?)` \| (.+?) \| (.+?) \|$", (BROWSER / "LICENSES.md").read_text(), re.MULTILINE)
    assert set(rows) == shipped()
    assert {licence for _, _, licence in rows} <= PERMISSIVE
    assert {"onnxruntime-web", "@tensorflow/tfjs-core"} <= {name for name, _, _ in rows}
