"""No secret of this machine reaches a process that reads strangers' bytes, whatever the secret is called."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from pydantic import AliasChoices, SecretStr

from registry.settings import Settings
from serving.environment import is_fit_for_a_server, safe_environment
from serving.export.subprocess_job import run_subprocess
from serving.workers.spawn import spawn

CANARY = "canary-9e1f"
OTHERS = [
    *(
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_TOKEN",
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY",
        "MLFLOW_FLASK_SERVER_SECRET_KEY",
    ),
    *(
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AZURE_CLIENT_SECRET",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ),
    *("MODELYARD_LEDGER_URL", "MODELYARD_BUNDLE_TOKEN", "DATABASE_URL", "PGPASSWORD", "GITHUB_TOKEN", "WANDB_API_KEY"),
    *(
        "HUGGING_FACE_HUB_TOKEN",
        "OPENAI_API_KEY",
        "SSH_AUTH_SOCK",
        "SOMETHING_OF_NEXT_YEAR",
        "KERAS_API_KEY",
        "TF_SERVING_TOKEN",
    ),
]


def secret_names() -> list[str]:
    """Every variable that our settings read a secret from, and others that are around."""
    names = list[str]()
    for name, field in Settings.model_fields.items():
        if SecretStr in getattr(field.annotation, "__args__", (field.annotation,)):
            alias = field.validation_alias
            names += map(str, alias.choices) if isinstance(alias, AliasChoices) else [f"MODELYARD_{name.upper()}"]
    return names + OTHERS


@pytest.fixture(autouse=True)
def _canaries(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in secret_names():
        monkeypatch.setenv(name, CANARY)
    monkeypatch.setenv("HTTPS_PROXY", f"http://ada:{CANARY}@proxy:3128")


def environment_of(pid: int) -> bytes:
    """What the kernel says a process was started with."""
    deadline = time.monotonic() + 10
    while not (words := Path(f"/proc/{pid}/environ").read_bytes()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return words


def test_our_settings_have_secrets_to_keep() -> None:
    assert len(secret_names()) - len(OTHERS) >= 10


def test_nothing_that_is_not_allowed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    environment = safe_environment(settings={"TF_CPP_MIN_LOG_LEVEL": "3"})
    assert CANARY not in str(environment)
    assert {"PATH", "OMP_NUM_THREADS", "HTTP_PROXY", "TF_CPP_MIN_LOG_LEVEL"} <= environment.keys()
    assert safe_environment("MODELYARD_API_KEY")["MODELYARD_API_KEY"] == CANARY


def test_a_worker_that_decodes_pictures_has_no_secret() -> None:
    worker = spawn()
    try:
        words = environment_of(worker.pid)
    finally:
        worker.kill()
        worker.socket.close()
    assert b"PATH=" in words
    assert CANARY.encode() not in words


def test_a_converter_has_no_secret(tmp_path: Path) -> None:
    script = tmp_path / "job.py"
    script.write_text(
        "import json, sys\nfrom pathlib import Path\n"
        "job = json.loads(Path(sys.argv[1]).read_text())\n"
        "words = Path('/proc/self/environ').read_text()\n"
        "Path(job['report']).write_text(json.dumps({'words': words}))\n"
    )
    words = run_subprocess([sys.executable, script], {}, "a converter")["words"]
    assert "PATH=" in words
    assert "TF_CPP_MIN_LOG_LEVEL=3" in words
    assert CANARY not in words


def test_an_endpoint_of_this_machine_has_the_key_that_it_asks_for_and_no_other_secret(tmp_path: Path) -> None:
    from serving.targets.local.process import spawn

    pid = spawn(tmp_path / "no bundle", tmp_path / "order.json", 1, 0, tmp_path / "log")
    words = environment_of(pid)  # the system's own record, from before it has looked for its bundle
    os.waitpid(pid, 0)
    secrets = [line for line in words.split(b"\0") if CANARY.encode() in line]
    assert secrets == [f"MODELYARD_API_KEY={CANARY}".encode()]


def test_a_server_in_the_foreground_and_that_of_a_container_have_the_key_and_no_other_secret(
    make_bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.cli.app import run
    from pipelines.cli.main import main
    from serving import container

    folder, seen = str(make_bundle(tmp_path / "one").folder), list[dict[str, str]]()

    def become(program: str, command: list[str], environment: dict[str, str]) -> None:
        assert command[:4] == [program, "-P", "-m", "serving.start"]
        seen.append(environment)
        raise SystemExit(0)

    monkeypatch.setattr("os.execve", become)
    monkeypatch.setenv("MODELYARD_BUNDLE_DIR", folder)
    monkeypatch.setattr("sys.argv", ["serving.container"])
    for begin in (container.main, lambda: run(["serve", folder]), lambda: main(["serve", folder])):
        with pytest.raises(SystemExit):
            begin()
    assert len(seen) == 3
    for environment in seen:
        assert [name for name, value in environment.items() if CANARY in value] == ["MODELYARD_API_KEY"]
        assert "PATH" in environment


@pytest.mark.parametrize(
    ("extra", "fit"),
    [
        ({}, True),
        ({"SOMETHING_OF_NEXT_YEAR": "1"}, True),
        ({"HF_TOKEN": "1"}, False),
        ({"my_password": "1"}, False),
        ({"MODELYARD_LEDGER_URL": "1"}, False),
        ({"DATABASE": "postgresql://ada:pw@db/x"}, False),
    ],
)
def test_a_server_is_this_very_process_only_where_its_environment_holds_no_other_secret(
    monkeypatch: pytest.MonkeyPatch, extra: dict[str, str], *, fit: bool
) -> None:
    harmless = {"PATH": "/bin", "HOME": "/", "PWD": "/", "SHLVL": "1", "MODELYARD_API_KEY": CANARY}
    monkeypatch.setattr("os.environ", harmless | extra)
    assert is_fit_for_a_server() is fit


@pytest.mark.parametrize(("service", "withheld"), [("mlflow", True), ("dashboard", True), ("reconciler", False)])
def test_the_clouds_keys_reach_the_service_that_acts_and_no_other(service: str, withheld: bool) -> None:
    from pipelines.services.environments import inherited

    environment = inherited(service)
    for name in ("RUNPOD_API_KEY", "HF_TOKEN", "MODELYARD_HF_TOKEN", "MODELYARD_NOTIFY_SECRET"):
        assert (name not in environment) is withheld
    assert environment["MODELYARD_LEDGER_URL"] == CANARY


def test_the_collector_has_the_endpoints_key_and_no_other_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.services.environments import inherited, own_settings

    for name in ("MLFLOW_TRACKING_PASSWORD", "MODELYARD_DASHBOARD_PASSWORD", "MODELYARD_WEBHOOK_SECRET", "PGPASSWORD", "AWS_X"):
        monkeypatch.setenv(name, CANARY)
    monkeypatch.setenv("MODELYARD_API_KEY", "ours")
    monkeypatch.delenv("MODELYARD_LEDGER_URL", raising=False)
    environment = {**inherited("collector"), **own_settings("collector", Path("home"))}
    assert environment["MODELYARD_API_KEY"] == "ours"
    assert CANARY not in environment.values()
    assert {name for name in environment if "KEY" in name or "SECRET" in name} == {"MODELYARD_API_KEY"}
    monkeypatch.setenv("MODELYARD_LEDGER_URL", "postgresql+psycopg://here/ledger")
    assert inherited("collector")["PGPASSWORD"] == CANARY
