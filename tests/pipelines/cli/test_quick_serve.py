"""`modelyard serve FOLDER` becomes the server at once, and means what the option parser would have made of it."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cli.app import run
from pipelines.cli.quick_serve import serve_options
from serving.environment import server_environment
from serving.server.options import arguments

ROOT = Path(__file__).resolve().parents[3]
NOT_NEEDED = {
    *("typer", "pydantic", "pydantic_settings", "sqlalchemy", "yaml", "mlflow", "cryptography", "httpx", "rich", "alembic"),
    *("pipelines.home", "pipelines.job", "pipelines.cli.app", "pipelines.cli.services", "registry.settings", "registry.ledger"),
    *("registry.promotion", "registry.records", "validation", "serving.targets", "serving.export"),
}
PIECES = [
    *(["--port", "0"], ["--port=8081"], ["--port", "99999"], ["--port", "-1"], ["--port", "x"], ["--port"], ["--port", "0080"]),
    *(["--host", "127.0.0.1"], ["--host=::1"], ["--host", ""], ["--workers", "2"], ["--workers", "257"], ["--device", "cpu"]),
    *(["--device", "tpu"], ["--max-batch", "0"], ["--max-batch", "16"], ["--max-wait-ms", "5"], ["--max-wait-ms", "1.5"]),
    *(
        ["--queue", "9"],
        ["--queue", "0"],
        ["--fetch"],
        ["--no-key"],
        ["--json"],
        ["--json=1"],
        ["--keys", "keys"],
        ["--nonsense"],
    ),
    *(["--log-level", "debug"], ["--log-level", "loud"], ["--home", "home"], ["--"], ["--help"], ["second"], ["-p", "1"]),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "bundle.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "bundle"


def parsed(line: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str] | None:
    """The server's command line that the option parser makes of a command line; None where it explains or shows help."""
    words = list[list[str]]()

    def become(_: str, command: list[str], _environment: dict[str, str]) -> None:
        words.append(command[command.index("serving.start") + 1 :])

    monkeypatch.setattr("os.execve", become)
    with pytest.raises(SystemExit):
        run(line)
    return words[0] if words else None


def test_what_is_recognised_at_once_is_what_the_option_parser_would_have_started(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dice, recognised = random.Random(7), 0  # noqa: S311 not for secrets
    lines = [["serve", "bundle", *piece] for piece in PIECES] + [["serve", *piece, str(folder)] for piece in PIECES]
    lines += [
        ["serve", *dice.sample(["bundle"], 1), *sum(dice.sample(PIECES, dice.randint(0, 4)), list[str]())] for _ in range(120)
    ]
    for line in lines:
        quick = serve_options(line)
        if quick is None:
            continue
        recognised += 1
        whole = parsed(line, monkeypatch)
        assert whole is not None, (line, capsys.readouterr().err)
        assert arguments(quick) == arguments(whole), line
    assert recognised > len(PIECES)


@pytest.mark.parametrize(
    "line",
    [
        *(["serve"], ["serve", "missing"], ["serve", "hand/1"], ["serve", "hand@production", "--port", "0"], ["--version"], []),
        *(["serve", "bundle", *piece] for piece in (["--port", "x"], ["--help"], ["--nonsense"], ["--port"], ["again"])),
    ],
)
def test_every_other_command_line_goes_to_the_option_parser(folder: Path, line: list[str]) -> None:
    assert serve_options(line) is None


def test_the_way_to_a_first_answer_imports_neither_ledger_nor_job_file_nor_option_parser(make_bundle, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one").folder
    script = (
        "import sys\nfrom pipelines.cli import main\nimport serving.server.http as http\n"
        "def serve(options, first, listening):\n    first.kill()\n    print(*sys.modules)\n    return 0\n"
        f"http.serve = serve\nmain.main(['serve', {str(bundle)!r}, '--port', '0'])"
    )
    where = {"cwd": ROOT, "env": server_environment()}  # elsewhere another process is started in this one's place
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60, **where)
    loaded = set(done.stdout.split())
    assert "serving.workers.pool" in loaded
    assert {name for name in loaded if any(name == room or name.startswith(f"{room}.") for room in NOT_NEEDED)} == set()


def test_the_command_s_own_errors_are_one_line(folder: Path) -> None:
    for words in (["bundle", "--port", "0"], ["bundle", "--host", "0.0.0.0"], ["bundle", "--port", "99999"]):  # noqa: S104
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.cli.main", "serve", *words], capture_output=True, text=True, cwd=folder.parent,
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
        )  # fmt: skip
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
