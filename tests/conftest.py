"""What tests share: small real clips, a small real bundle, and servers that start once a session."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import PIL.Image
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from warm_commands import WarmCommands

hypothesis.settings.register_profile("modelyard", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("soak", hypothesis.settings.get_profile("modelyard"), max_examples=1000)
hypothesis.settings.load_profile("modelyard")  # else an example that takes 0.2 s on a busy machine is a failure
OPEN_PICTURE = PIL.Image.open
ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
LONG_S = 2400
"""After which a test that trains is taken to hang: many times what it takes, for a machine that is slow or busy."""
ON_THE_DEMO = {f"tests/journey/test_{name}.py" for name in ("clouds", "demo", "exports")}
"""They use the home in which the demo ran, each as it was then, at the same place: one after the other."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files in the order in which workers take them: what takes minutes first, so that no worker works on alone."""
    files = dict[Path, list[pytest.Item]]()
    for item in items:
        files.setdefault(item.path, []).append(item)
        if item.get_closest_marker("long") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONG_S))
        if "trained" in item.fixturenames and str(item.path.relative_to(ROOT)) not in ON_THE_DEMO:
            raise pytest.UsageError(f"{item.path}: uses the demo's home; add it to ON_THE_DEMO in tests/conftest.py")

    def rank(file: Path) -> tuple[bool, bool, int]:
        long = any(test.get_closest_marker("long") for test in files[file])
        return str(file.relative_to(ROOT)) not in ON_THE_DEMO, not long, -len(files[file])

    items[:] = [test for file in sorted(files, key=rank) for test in files[file]]


@pytest.fixture(autouse=True)
def scheduled_as_before() -> Iterator[None]:
    """A library may leave the thread under real-time scheduling; every later test, and its processes, would then starve others."""
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    before = os.sched_getscheduler(0)
    yield
    if os.sched_getscheduler(0) != before:
        os.sched_setscheduler(0, before, os.sched_param(0))
        pytest.fail("the test leaves its thread under another scheduling policy: do what sets it in a process of its own")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """With `--dist loadfile`, the files that use the demo's home go to one worker, which makes it once."""
    from xdist.scheduler import LoadFileScheduling

    class DemoOnce(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            scope = super()._split_scope(nodeid)
            return "the demo" if scope in ON_THE_DEMO else scope

    return DemoOnce(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(autouse=True)
def _pillow_as_it_was() -> Iterator[None]:
    """Ultralytics replaces Pillow's `open` when it is imported, and installs packages for files that no codec knows."""
    yield
    PIL.Image.open = OPEN_PICTURE


@pytest.fixture(autouse=True, scope="module")
def _no_server_of_another_file() -> None:
    """MLflow's client keeps its servers in globals and the environment: what one file's tests set reaches no other file's.

    `MlflowClient(uri)` asks `uri` for runs, but for versions the registry that somebody set for the process before.
    """
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        os.environ.pop(name, None)
    if mlflow := sys.modules.get("mlflow"):
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine that runs the tests reaches them."""
    for name in list(os.environ):
        if name.startswith(("MODELYARD_", "MLFLOW_")) and name != "MODELYARD_CACHE":
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture
def shared() -> Path:
    """Real clips and photographs, where this machine has them."""
    if not (SHARED / "data").is_dir():
        pytest.skip("../shared/data is not here: it belongs to the project's own machines")
    return SHARED / "data"


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of six short real MPEG-4 clips."""
    from pipelines.demo.clips import Film, film_digits

    film = Film(clips=6, frames=6, size=96, digits=(0, 1, 2))
    return film_digits(tmp_path_factory.mktemp("film") / "clips", film, lambda *_: None)


@pytest.fixture(scope="session")
def dataset(clips: Path, tmp_path_factory: pytest.TempPathFactory):
    """A data set made of the clips."""
    from pipelines.data.build import build_dataset
    from pipelines.job.jobfile import Data

    return build_dataset(Data(clips=clips), tmp_path_factory.mktemp("data") / "digits", lambda *_: None)


@pytest.fixture(scope="session")
def make_bundle() -> Callable[..., object]:
    """Seals a real bundle around a tiny ONNX network that tells red, green and blue pictures apart."""
    from dataclasses import asdict

    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from registry.files import building, write_atomic, write_json
    from serving.bundle.bundle import open_bundle
    from serving.bundle.preprocess import Preprocess
    from serving.bundle.seal import BundleIndex, seal

    def make(folder: Path, version: int = 1, gain: float = 20.0):
        weights = numpy_helper.from_array(np.eye(3, dtype=np.float32) * gain, "weights")
        nodes = [
            helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ]
        into = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 32, 32])
        out = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 3])
        graph = helper.make_graph(nodes, "colours", [into], [out], [weights])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        with building(folder) as work:
            write_atomic(work / "model.onnx", model.SerializeToString())
            write_json(work / "preprocess.json", asdict(Preprocess(size=32)))
            write_json(work / "labels.json", ["red", "green", "blue"])
            about = BundleIndex(model="colours", version=version, model_digest="0" * 64, files={}, tools={})
            seal(work, about)
        onnx.checker.check_model(model)
        return open_bundle(folder)

    return make


@pytest.fixture(scope="session")
def picture() -> Callable[..., bytes]:
    """Image bytes of one colour."""
    import io

    from PIL import Image

    def make(colour: str = "red", size: tuple[int, int] = (48, 40), kind: str = "PNG") -> bytes:
        held = io.BytesIO()
        Image.new("RGB", size, colour).save(held, kind)
        return held.getvalue()

    return make


@pytest.fixture(scope="session")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow server on SQLite, over HTTP."""
    from pipelines.services.up import ServiceGroup, _keep, _start_mlflow, claim, stop, wait_for

    home, keeper = tmp_path_factory.mktemp("mlflow"), ServiceGroup()
    try:
        _keep(home, keeper, _start_mlflow(home, claim(0, ""), app=None))
        wait_for(keeper, lambda _: None)
        yield keeper.addresses["mlflow"]
    finally:
        stop(keeper)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL server of our own, on a socket in a folder of our own."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        pytest.skip("PostgreSQL is not installed here (Debian package 'postgresql')")
    # not among pytest's folders: another pytest that starts meanwhile closes those to other users
    tools, folder = programs[-1].parent, Path(tempfile.mkdtemp(prefix="modelyard-postgres-"))
    data, as_user = folder / "data", []
    if os.getuid() == 0:
        shutil.chown(folder, "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    run = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*as_user, str(tools / "initdb"), "-D", str(data), "-U", "yard", "--auth=trust"], **run)
    options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
    start = [*as_user, str(tools / "pg_ctl"), "-D", str(data), "-w", "-o", options, "-l", str(folder / "log"), "start"]
    subprocess.run(start, **run)
    try:
        yield f"postgresql+psycopg://yard@/postgres?host={folder}"
    finally:
        subprocess.run([*as_user, str(tools / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop"], **run)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmCommands]:
    """Commands as processes of their own that have the heavy imports behind them."""
    commands = WarmCommands(tmp_path_factory.mktemp("warm"))
    yield commands
    commands.close()


@pytest.fixture
def modelyard(tmp_path: Path, warm: WarmCommands) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command in a folder of its own, as a user's shell would, in a process that has the heavy imports behind it."""

    def run(*arguments: str | Path, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
        return warm.run([str(argument) for argument in arguments], tmp_path, timeout)

    return run
