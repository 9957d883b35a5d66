"""Without `--data` and a job file it is the home's only data set; a model's name and its newest version do as well."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from drawn_source import DrawnSource

from pipelines.cli.app import run as run_command
from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet, open_dataset
from pipelines.job.jobfile import Split
from registry.reports.reviews import Candidate, Review

Run = Callable[..., tuple[int, str, str]]
CLIPS = {f"{label}/{number}": number + (100 if label == "b" else 0) for label in "ab" for number in range(5)}
COMMANDS = [
    ("check",),
    ("data", "leaks"),
    ("data", "show"),
    ("data", "label-errors"),
    ("data", "review"),
    ("data", "apply-review"),
]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in an empty folder; exit code, answer and messages."""
    monkeypatch.chdir(tmp_path)

    def command(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            run_command(list(words))
        shown = capfd.readouterr()
        return int(left.value.code or 0), shown.out, shown.err

    return command


def make(model: str, clips: dict[str, int] = CLIPS) -> None:
    catalog = DatasetCatalog(Path(".modelyard") / "datasets")
    catalog.write(DrawnSource(clips), Split(), catalog.folder_of(model), lambda *_: None, model=model)


def doubt(data: DataSet) -> str:
    """A frame of train whose label a review doubts."""
    row = data.rows("train")[0]
    facts = {"file": row.file, "sha256": row.sha256, "label": row.label, "clip": row.clip, "split": row.split}
    candidate = Candidate(kind="label-error", suggested="b", score=0.9, by="cleanlab", **facts)
    Review.of(Path(".modelyard"), data.manifest.digest).suggest("label-error", [candidate])
    return row.sha256


@pytest.mark.parametrize("words", COMMANDS)
def test_the_only_data_set_of_a_home_needs_no_name(words: tuple[str, ...], run: Run) -> None:
    code, _, err = run(*words)
    assert code == 2, "there is none: the job file is asked for"
    assert "modelyard.yaml" in err
    make("hand")
    code, _, err = run(*words)
    assert "the data set of 'hand', the only model with data sets in .modelyard" in err
    assert "modelyard.yaml" not in err
    assert code in {0, 1}
    make("foot")
    code, _, err = run(*words)
    assert code == 2
    line = "home .modelyard: there are data sets of 2 models (foot, hand) and no modelyard.yaml here; name one, such as --data foot"
    assert line in err


@pytest.mark.parametrize("words", COMMANDS)
def test_a_model_is_named_though_a_folder_of_raw_images_is_called_the_same(words: tuple[str, ...], run: Run) -> None:
    make("hand")
    Path("hand/a").mkdir(parents=True)
    code, _, err = run(*words, "--data", "hand")
    assert code in {0, 1}, err
    assert "does not hold a data set" not in err


def test_a_review_is_applied_to_the_newest_version_by_its_name(run: Run) -> None:
    make("hand")
    make("hand", CLIPS | {"a/new": 50})
    (Path(".modelyard") / "datasets" / "hand").rename(Path("gone"))
    sha = doubt(open_dataset(Path("gone")))
    assert run("data", "review", "--data", "hand@2", "--drop", sha, "--as", "ada")[0] == 0
    code, _, err = run("data", "apply-review", "--data", "hand@1")
    assert code == 2
    assert "hand@1: is not the newest version, which is hand@2; give --data hand@2" in err
    code, out, err = run("data", "apply-review", "--data", "hand@2", "--json")
    assert code == 0, err
    assert (json.loads(out)["version"], json.loads(out)["changes"]) == (3, {"dropped": 1})
    listed = json.loads(run("data", "list", "hand", "--json")[1])
    assert [(row["name"], row["current"]) for row in listed] == [("hand@3", True), ("hand@2", False), ("hand@1", False)]


def test_a_review_of_a_version_elsewhere_is_applied_where_it_lies(run: Run) -> None:
    make("hand")
    catalog = DatasetCatalog(Path(".modelyard") / "datasets")
    made = catalog.write(DrawnSource(CLIPS | {"a/new": 50}), Split(), Path("out"), lambda *_: None, model="hand")
    sha = doubt(made)
    assert run("data", "review", "--data", "hand", "--drop", sha, "--as", "ada")[0] == 0
    done = json.loads(run("data", "apply-review", "--data", "hand", "--json")[1])
    assert (done["version"], done["changes"], Path(done["data"])) == (3, {"dropped": 1}, Path.cwd() / "out")
    assert run("data", "list", "hand")[1].count("hand@3") == 1
