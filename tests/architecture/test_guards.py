"""What keeps the house as it was drawn."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from import_graph import ROOMS, ROOT, circles, import_graph
from vague_names import vague_names

VAGUE_NAMES = 0
"""How many functions bind a vague name today. It only goes down."""
HEAVY = ("mlflow", "torch", "tensorflow", "ultralytics", "onnx", "onnxruntime", "great_expectations", "streamlit", "ray")
HEAVY += ("runpod", "huggingface_hub", "cv2", "sklearn", "pandas", "matplotlib", "av", "faiss", "cleanlab")


def loaded_by(code: str) -> set[str]:
    """The heavy libraries that a fresh interpreter has loaded after running the code."""
    script = f"import sys\n{code}\nprint(*sorted(set(m.split('.')[0] for m in sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split()) & set(HEAVY)


def test_help_loads_nothing_heavy() -> None:
    code = "from pipelines.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    assert loaded_by(code) == set()


@pytest.mark.parametrize(
    "arguments", [["schema"], ["init", "/dev/null/x"], ["promote", "hand/1", "prod"], ["costs", "--home", "HOME"]]
)
def test_light_commands_load_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    arguments = [str(tmp_path) if argument == "HOME" else argument for argument in arguments]
    code = f"from pipelines.cli.main import main\ntry: main({arguments!r})\nexcept SystemExit: pass"
    assert loaded_by(code) == set()


def test_the_serving_worker_loads_onnxruntime_and_nothing_of_training() -> None:
    assert loaded_by("import serving.workers.worker") == {"onnxruntime"}
    assert loaded_by("import serving.server.http") == set()


def test_a_cold_start_waits_for_no_pydantic() -> None:
    for name in ("serving.workers.worker", "serving.server.http"):
        code = f"import sys, {name}\nprint({{'pydantic', 'httpx', 'sqlalchemy', 'cryptography', 'cv2'}} & set(sys.modules))"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout == "set()\n", name


def test_the_registry_loads_nothing_heavy_but_its_mlflow_room() -> None:
    modules = [path for path in (ROOT / "registry").rglob("*.py") if not {"mlflow", "migrations"} & set(path.parts)]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in modules]
    assert loaded_by("\n".join(f"import {name}" for name in names)) == set()


def test_imports_point_down_only() -> None:
    code = "from importlinter.cli import lint_imports_command as run; run()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build = f"from hatchling.build import build_wheel; build_wheel({str(out)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=ROOT, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_the_wheel_owns_exactly_its_rooms(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    owners = packages_distributions()
    assert {name for name, owner in owners.items() if "modelyard" in owner} == set(ROOMS)


def test_nobody_else_owns_our_names() -> None:
    owners = packages_distributions()
    assert [name for name in ROOMS if set(owners.get(name, [])) - {"modelyard"}] == []


def test_the_wheel_brings_what_runs_beside_python_and_not_the_browser_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {"serving/export/tfjs_run.mjs", "serving/export/resize.mjs", "serving/export/tf_convert.py"} <= set(names)
    assert not [name for name in names if name.startswith("serving/browser/")]


def test_the_wheel_brings_every_file_of_its_rooms(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    ours = {str(path.relative_to(ROOT)) for path in tracked()}
    assert sorted(name for name in ours if name.startswith(ROOMS) and not name.startswith("serving/browser/")) == sorted(
        name for name in names if ".dist-info/" not in name
    )


def test_no_module_is_named_like_a_room_and_no_folder_hides_another_package() -> None:
    modules = {path.stem for room in ROOMS for path in (ROOT / room).rglob("*.py") if path.parent.name != room}
    top = {path.stem for room in ROOMS for path in (ROOT / room).glob("*.py")}
    assert not (modules | top) & set(ROOMS) - {"registry"}  # dashboards/views/registry.py is a page, see below
    assert not (ROOT / "dashboards" / "registry.py").exists()
    for folder in ("tests", "docker"):
        assert not list((ROOT / folder).rglob("__init__.py"))


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def test_no_key_is_tracked() -> None:
    for path in tracked():
        assert b"PRIVATE " + b"KEY-----" not in path.read_bytes(), path
        assert path.suffix not in {".db", ".pem"}, path


def test_nothing_tracked_is_large_or_names_a_package_registry() -> None:
    hosts = re.compile(
        r"https?://[a-z0-9.-]*(" + "|".join(["py" + "pi", "pythonh" + "osted", "npm" + "js", "deb" + "ian"]) + ")"
    )
    for path in tracked():
        data = path.read_bytes()
        assert len(data) <= 1_000_000, path
        assert not hosts.search(data.decode(errors="replace")), path
    assert not (ROOT / "uv.lock").exists()


def test_files_stay_small_and_pages_smaller() -> None:
    for path in tracked():
        if path.suffix == ".py":
            assert len(path.read_text().splitlines()) <= 300, path
        if path.parent.name == "views":
            assert len(path.read_text().splitlines()) <= 80, path


def test_nothing_of_serving_can_load_a_pickle() -> None:
    forbidden = {"pickle", "cloudpickle", "dill", "joblib"}
    for path in (ROOT / "serving").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & forbidden, path
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("torch.load", "np.load")):
                assert "allow_pickle=False" in ast.unparse(node) or "weights_only=True" in ast.unparse(node), path


def test_no_circle_of_files() -> None:
    assert circles(import_graph()) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]], "one that is there is seen"


def test_a_room_has_few_entries_and_each_folder_its_sentence() -> None:
    for room in ROOMS:
        entries = [path for path in (ROOT / room).iterdir() if path.name not in {"__init__.py", "__pycache__"}]
        assert len(entries) <= (16 if room == "pipelines" else 24), room
        for package in (ROOT / room).rglob("__init__.py"):
            sentence = ast.get_docstring(ast.parse(package.read_text()))
            assert sentence, package
            assert sentence.endswith("."), package


def test_vague_names_only_get_fewer() -> None:
    """`told`, `found`, `one`, `said` and `place` say nothing of what they name. When there are fewer, lower the ceiling."""
    counts = {path: len(vague_names(path.read_text())) for path in tracked() if path.suffix == ".py"}
    total = sum(counts.values())
    worst = sorted(((count, str(path.relative_to(ROOT))) for path, count in counts.items() if count), reverse=True)[:10]
    assert total == VAGUE_NAMES, f"{total} functions bind a vague name (see {worst}); the ceiling is {VAGUE_NAMES}"


def test_a_vague_name_is_seen_wherever_it_is_bound() -> None:
    for code in (
        "found = 1", "found: int = 1", "for one in x: pass", "[one for one in x]", "with x as said: pass",
        "if (told := x): pass", "a, (place, b) = x", "lambda one: one",
    ):  # fmt: skip
        assert len(vague_names(f"def f():\n    {code}")) == 1, code
    assert len(vague_names("def f(told): pass")) == 1
    assert vague_names("def f(rows):\n    return rows.found(one=1)") == []
