"""What journeys share: enough clips to train on, and a home in which the demo has run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from web_world import WebWorld

sys.path.insert(0, str(Path(__file__).parent))

Up = Callable[..., object]


@pytest.fixture(scope="session")
def enough_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of forty clips: enough to learn, and for fifty held-out frames."""
    from pipelines.demo.clips import Film, film_digits

    film = Film(clips=40, frames=10, digits=(0, 1, 2))
    return film_digits(tmp_path_factory.mktemp("journey") / "digits3", film, lambda *_: None)


@pytest.fixture(scope="session")
def web(tmp_path_factory: pytest.TempPathFactory) -> WebWorld:
    """A small exported network and the page that runs it."""
    from web_world import make_world

    return make_world(tmp_path_factory.mktemp("web"))


@dataclass(frozen=True)
class Demo:
    """A demo that ran: its summary and its home."""

    home: Path
    clips: Path
    summary: dict
    progress: str


@pytest.fixture(scope="session")
def trained(enough_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Demo, Path]:
    """`modelyard demo --clips` with YOLO and Keras, whole; and a copy of its home as it was then."""
    home = tmp_path_factory.mktemp("demo") / "home"
    command = [
        "demo",
        "--clips",
        enough_clips,
        "--trainers",
        "yolo,keras",
        "--epochs",
        "12",
        "--home",
        home,
        "--exit",
        "--json",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli.main", *map(str, command)],
        cwd=home.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shutil.copytree(home, home.parent / "kept", symlinks=True)
    return Demo(home, enough_clips, json.loads(done.stdout), done.stderr), home.parent / "kept"


@pytest.fixture(scope="module")
def demo(trained: tuple[Demo, Path]) -> Demo:
    """The demo's home as it was when the demo had run, whatever another file's tests did to it.

    At the same place: the ledger names the folders of bundles.
    """
    shown, kept = trained
    shutil.rmtree(shown.home)
    shutil.copytree(kept, shown.home, symlinks=True)
    return shown


@contextmanager
def running_up(home: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """`modelyard up` on a home, ready; ended with SIGTERM."""
    command = [sys.executable, "-m", "pipelines.cli.main", "up", "--home", str(home), "--mlflow-port", "0", "--json"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        yield process, json.loads(line)
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
        process.stderr.close()


@pytest.fixture
def up() -> Up:
    """Starts `modelyard up`."""
    return running_up


@pytest.fixture(scope="module")
def up_module() -> Up:
    """Starts `modelyard up` for a module's tests."""
    return running_up


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Waits until something becomes so; how long that may take is the test's own time limit."""

    def wait(so: Callable[[], object]) -> None:
        while not so():
            time.sleep(0.2)

    return wait
