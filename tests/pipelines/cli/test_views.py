"""`modelyard runs`, `report` and `dashboard` as a person types them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "dashboards"))

from worlds import a_run, fill, fill_runs

from pipelines.cli.main import main


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return int(ended.value.code or 0)


@pytest.fixture
def home(tmp_path: Path) -> str:
    fill(tmp_path)
    fill_runs(tmp_path, [a_run(number) for number in range(11, 40)], ago_s=90)
    return str(tmp_path)


def test_runs_are_found_sorted_and_told_with_their_age_while_the_server_is_away(home: str, capsys) -> None:
    assert run("runs", "--home", home, "--where", "test_top1 >= 0.85", "--sort", "test_top1", "--most", "2") == 0
    captured = capsys.readouterr()
    assert "torch 39" in captured.out
    assert "2 of 5 runs" in captured.out
    assert "these are the runs of 1 minute ago" in captured.err
    assert run("runs", "--home", home, "--sort", "-cost_usd", "--most", "1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["metrics"]["cost_usd"] == 0
    assert run("runs", "--home", home, "--front", "cost_usd,test_top1", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in document["runs"]] == ["torch 35", "torch 36", "torch 37", "torch 38", "torch 39"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--where", "top1 >"), "cannot be read"),
        (("--sort", "nothing"), "is not a metric or parameter of any run"),
        (("--front", "cost_usd"), "does not name two metrics"),
    ],
)
def test_what_cannot_be_asked_is_one_line(home: str, capsys, words: tuple[str, ...], message: str) -> None:
    assert run("runs", "--home", home, *words) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_runs_that_were_never_read_say_so(tmp_path: Path, capsys) -> None:
    assert run("runs", "--home", str(tmp_path)) == 2
    assert "start it with `modelyard up`" in capsys.readouterr().err


def test_a_dashboard_for_other_machines_wants_a_password(home: str, capsys) -> None:
    assert run("dashboard", "--home", home, "--host", "0.0.0.0") == 2  # noqa: S104 it is refused
    assert "set MODELYARD_DASHBOARD_PASSWORD" in capsys.readouterr().err


@pytest.mark.journey
def test_a_report_is_written_by_the_command(home: str, tmp_path: Path, capsys) -> None:
    assert run("report", str(tmp_path / "out.html"), "--home", home) == 0
    assert "1 models in production" in capsys.readouterr().out
    assert "hand/2" in (tmp_path / "out.html").read_text()
    assert run("report", str(tmp_path / "out.pdf"), "--home", home) == 2
    assert not (tmp_path / "out.pdf").exists()


def test_runs_that_train_nothing_are_left_out_unless_they_are_asked_for(home: str, capsys) -> None:
    trained = a_run(1, tags={"modelyard.version": "3", "modelyard.dataset": "hand@2"})
    odd = a_run(2, tags={"modelyard.version": "²"}, params={"dataset": "abc"})
    beside = a_run(3, name="gates hand/3 staging", experiment="hand (checks)", tags={"modelyard.kind": "gates"})
    older = a_run(4, name="data", tags={"modelyard.kind": "data"})  # in the trainings' experiment
    fill_runs(Path(home), [trained, odd, beside, older], ago_s=90)

    def names(*words: str) -> list[str]:
        assert run("runs", "--home", home, "--json", *words) == 0
        return sorted(row["name"] for row in json.loads(capsys.readouterr().out)["runs"])

    assert names() == ["torch 1", "torch 2"]
    assert names("--checks") == ["data", "gates hand/3 staging", "torch 1", "torch 2"]
    assert names("--where", "modelyard.kind = gates") == ["gates hand/3 staging"]
    assert names("--where", "experiment = 'hand (checks)'") == ["gates hand/3 staging"]
    assert run("runs", "--home", home, "--json", "--where", "modelyard.version = 3") == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"]
    assert (row["training"], row["version"], row["dataset"], row["tags"]) == (True, 3, "hand@2", trained.tags)
    assert run("runs", "--home", home, "--json", "--where", "name = 'torch 2'") == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"]
    assert (row["version"], row["dataset"]) == (None, "abc")
