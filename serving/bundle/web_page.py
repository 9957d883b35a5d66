"""A page that runs a bundle in the browser, as files by their paths: for any web server, or a static Space."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from registry.errors import InputError, NotFoundError
from registry.files import building
from serving.bundle.bundle import Bundle
from serving.bundle.checked import INDEX

ABOUT = "model/about.json"
"""What the page reads first."""
_CHECK = "check"


@dataclass(frozen=True, slots=True)
class WebPage:
    """A bundle's page.

    `browser` is the folder of the browser package, in which `make setup` builds the page. `stage` is how the version was
    asked for, empty for a version. `check` is a folder of held-out images with the trained model's answers: with it, an
    engine is compared with the trained model when the page loads. They are pictures of the data set: whoever sees the page
    sees them.
    """

    bundle: Bundle
    browser: Path
    stage: str = ""
    check: Path | None = None

    def files(self) -> dict[str, bytes | Path]:
        """Every file by its path in the page. Raises NotFoundError where the page is not built."""
        built = self.browser / "page" / "build"
        if not (built / "index.html").is_file():
            raise NotFoundError("web page", f"there is none at {built}", "run `make setup` in a source checkout")
        files = _below(built)
        index, folder = self.bundle.index, self.bundle.folder
        files |= {f"model/{name}": folder / name for name in (INDEX, *sorted(index.files))}
        if self.check:
            files |= {f"{_CHECK}/{name}": path for name, path in _below(self.check).items()}
        about = {"model": index.model, "version": index.version, "bundle": index.digest, "stage": self.stage}
        about |= {
            "task": "detect" if self.bundle.preprocess.letterboxes else "classify",
            "labels": self.bundle.labels,
            "check": self.check is not None,
        }
        files[ABOUT] = json.dumps(about, ensure_ascii=False, indent=2).encode()
        return files


def _below(folder: Path) -> dict[str, bytes | Path]:
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def write_page(files: Mapping[str, bytes | Path], folder: Path) -> None:
    """The page as a folder, whole or not at all. Raises InputError for a folder that holds something else."""
    if folder.exists() and not (folder / ABOUT).exists() and any(folder.iterdir()):
        raise InputError(folder, "holds something else", "name a folder that is new or empty")
    with building(folder) as work:
        for name, content in files.items():
            path = work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                shutil.copyfile(content, path)
            else:
                path.write_bytes(content)
