"""Admission in real MLflow servers: prefixes, several workers, logins, everything that is guarded, and the UI itself."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from registry.errors import UnavailableError
from registry.promotion.promote import promote
from registry.promotion.state import fold
from registry.refs import Ref
from registry.stages import Stage

sys.path.insert(0, str(Path(__file__).parent))
from pages import chromium, refusal_of, save_alias
from servers import ADA, Server, serving

pytestmark = pytest.mark.journey
NEVER_MS = 500_000
"""After which a page is taken to hang."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two workers, under a static prefix."""
    home = tmp_path_factory.mktemp("admission") / "home"
    home.mkdir()
    with serving(home, f"sqlite:///{home / 'mlflow.db'}", None, "--workers", "2", "--static-prefix", "/yard") as started:
        yield started


@pytest.fixture(scope="module")
def promoted(server: Server) -> str:
    """A model whose version 1 is in production, version 2 has evidence, version 3 has none."""
    name = server.model(3)
    for number in (1, 2):
        server.prove(name, number)
    for stage in (Stage.STAGING, Stage.PRODUCTION):
        promote(server.context(name), Ref(name, 1), stage, ADA)
    return name


def test_every_worker_decides_alike_under_a_static_prefix(server: Server) -> None:
    name = server.model(1)
    for prefix in ("api", "ajax-api"):
        answers = [server.alias(name, "staging", 1, prefix=prefix) for _ in range(12)]
        assert {answer.status_code for answer in answers} == {403}
        assert {answer.json()["error_code"] for answer in answers} == {"PERMISSION_DENIED"}
    server.prove(name, 1)
    answers = [server.alias(name, "staging", 1).status_code for _ in range(12)]
    assert set(answers) == {200}
    kinds = [row.event.kind for row in server.ledger().entries(name)]
    assert kinds.count("promoted") == kinds.count("flipped") == 1  # eleven asked for what was decided already
    assert kinds.count("refused") == 1  # and the same refusal is kept once


def test_what_backs_a_promoted_version_stays(server: Server, promoted: str) -> None:
    version = server.find(promoted, 1)
    model_id = version.source.split("/")[-1]
    logged = server.client.get_logged_model(model_id)
    tries = {
        "version": server.ask("model-versions/delete", "DELETE", name=promoted, version="1"),
        "model": server.ask("registered-models/delete", "DELETE", name=promoted),
        "rename": server.ask("registered-models/rename", name=promoted, new_name="other"),
        "run": server.ask("runs/delete", run_id=version.run_id),
        "experiment": server.ask("experiments/delete", experiment_id=logged.experiment_id),
        "logged model": server.ask(f"logged-models/{model_id}", "DELETE"),
        "finalize": server.ask(f"logged-models/{model_id}", "PATCH", model_id=model_id, status="LOGGED_MODEL_UPLOAD_FAILED"),
        "alias": server.ask("registered-models/alias", "DELETE", name=promoted, alias="production"),
        "old stage": server.ask(
            "model-versions/transition-stage", name=promoted, version="2", stage="Production", archive_existing_versions=False
        ),
        "tag": server.ask("model-versions/set-tag", name=promoted, version="2", key="modelyard.stage", value="production"),
        "tag away": server.ask("model-versions/delete-tag", "DELETE", name=promoted, version="1", key="modelyard.stage"),
        "new model tag": server.ask("registered-models/create", name="other", tags=[{"key": "modelyard.ok", "value": "yes"}]),
        "model tag": server.ask("registered-models/set-tag", name=promoted, key="modelyard.ok", value="yes"),
        "run's name": server.ask("runs/update", run_id=version.run_id, run_name="better"),
    }
    assert {what: answer.status_code for what, answer in tries.items()} == dict.fromkeys(tries, 403)
    messages = {what: answer.json()["message"] for what, answer in tries.items()}
    assert all(message.startswith("modelyard: ") for message in messages.values())
    for what in ("version", "model", "rename", "run", "logged model", "alias"):
        assert f"`modelyard promote {promoted}/1 archived`" in messages[what]
    assert "may not be left without its experiment" in messages["experiment"]
    assert server.holders(promoted) == {"production": 1}


def test_no_run_uploads_into_promoted_files_by_an_experiment_that_lies_there(server: Server, promoted: str) -> None:
    """MLflow writes a run's uploads to whichever address its experiment was given, past the artifact proxy."""
    kept = server.home / "artifacts"
    folder = next(kept.rglob(server.find(promoted, 1).source.split("/")[-1])) / "artifacts"
    assert (folder / "MLmodel").is_file()
    (server.home / "link").symlink_to(kept)
    spelled = [f"file://{folder}", str(folder), f"{kept}/../artifacts/x", f"file://{kept}", f"file:{server.home}/link/1", f"{kept}".replace("art", "%61rt")]  # fmt: skip
    for number, location in enumerate(spelled):
        answer = server.ask("experiments/create", name=f"inside {number}", artifact_location=location)
        assert answer.status_code == 403, location
        assert "inside the server's own artifacts" in answer.json()["message"]
    for number, location in enumerate((f"file://{server.home}/elsewhere", "mlflow-artifacts:/elsewhere", None)):
        fields = {"artifact_location": location} if location else {}
        assert server.ask("experiments/create", name=f"outside {number}", **fields).status_code == 200


def test_no_spelling_of_a_path_deletes_or_writes_what_is_promoted(server: Server, promoted: str) -> None:
    kept, address = server.home / "artifacts", urlsplit(server.uri)
    model = next(kept.rglob(server.find(promoted, 1).source.split("/")[-1])).relative_to(kept)
    before = {file: file.read_bytes() for file in kept.rglob("*") if file.is_file()}
    spelled = ["", ".", "./", "%2e", "%252e", "%2E%2F", "1/%2e%2e", f"{model.parts[0]}/", f"{model}/artifacts/MLmodel", quote(quote(str(model), safe="")), f"{model.parts[0]}%5C"]  # fmt: skip
    for method, prefix, path in itertools.product(("DELETE", "PUT"), ("api", "ajax-api"), spelled):
        connection = HTTPConnection(address.netloc, timeout=500)
        connection.request(method, f"{address.path}/{prefix}/2.0/mlflow-artifacts/artifacts/{path}", body=b"other")
        assert connection.getresponse().status in {400, 403, 404, 405}, (method, path)
        connection.close()
    assert {file: file.read_bytes() for file in kept.rglob("*") if file.is_file()} == before


def test_what_backs_nothing_may_go(server: Server, promoted: str) -> None:
    name = server.model(2)
    free = server.find(name, 2)
    assert server.ask("model-versions/delete", "DELETE", name=name, version="1").status_code == 200
    assert server.ask("runs/delete", run_id=free.run_id).status_code == 200
    assert server.ask(f"logged-models/{free.source.split('/')[-1]}", "DELETE").status_code == 200
    assert server.ask("registered-models/delete", "DELETE", name=name).status_code == 200
    assert server.ask("model-versions/set-tag", name=promoted, version="3", key="mine", value="x").status_code == 200
    answer = server.ask("model-versions/delete", "DELETE", name=promoted, version="3")
    assert answer.status_code == 200, "of a promoted model, a version that was never promoted"


def test_after_archiving_it_may_go(server: Server) -> None:
    name = server.model(1)
    server.prove(name, 1)
    promote(server.context(name), Ref(name, 1), Stage.STAGING, ADA)
    assert server.ask("registered-models/delete", "DELETE", name=name).status_code == 403
    promote(server.context(name), Ref(name, 1), Stage.ARCHIVED, ADA)
    assert server.ask("registered-models/delete", "DELETE", name=name).status_code == 200


def test_a_prompt_keeps_its_aliases_to_itself(server: Server) -> None:
    """MLflow's prompts are registered models, and 'production' is a usual alias of one; a model is none for its tag."""
    tag = {"key": "mlflow.prompt.is_prompt", "value": "true"}
    server.ask("registered-models/create", name="greeting", tags=[tag])
    server.ask("model-versions/create", name="greeting", source="prompt-template", tags=[tag, {"key": "mlflow.prompt.text", "value": "hi"}])  # fmt: skip
    assert server.alias("greeting", "production", 1).status_code == 200
    name = server.model(1)
    refused = server.ask("registered-models/set-tag", name=name, **tag), server.ask("model-versions/set-tag", name=name, version="1", **tag)  # fmt: skip
    assert {answer.status_code for answer in refused} == {403}
    assert "would hide it as a prompt" in refused[0].json()["message"]
    assert server.alias(name, "staging", 1).status_code == 403


def test_a_ledger_that_cannot_be_asked_lets_nothing_pass(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with serving(home, f"sqlite:///{home / 'mlflow.db'}", None) as server:
        name = server.model(1)
        server.prove(name, 1)
        (home / "ledger.db").write_text("no database any more" * 100)
        for suffix in ("-wal", "-shm"):
            (home / f"ledger.db{suffix}").unlink(missing_ok=True)
        answer = server.alias(name, "staging", 1)
        assert answer.status_code == 403
        assert "the ledger cannot be used" in answer.json()["message"]
        assert server.ask("runs/search", experiment_ids=["0"]).status_code == 200  # the rest goes on


def test_a_server_whose_guards_do_not_hold_does_not_start(tmp_path: Path) -> None:
    """One method is left unguarded, as a release of MLflow that moved it would leave it."""
    code = (
        "import registry.mlflow.server.guard as a; from mlflow.server import handlers; wrap = a._wrap; "
        "a._wrap = lambda ad, store, name, check: None if name == 'rename_registered_model' else wrap(ad, store, name, check); "
        "from pipelines.plugins.admission import create_app; create_app(); print('STARTED')"
    )
    variables = {"MODELYARD_HOME": str(tmp_path), "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{tmp_path / 'm.db'}", "_MLFLOW_SERVER_ARTIFACT_ROOT": str(tmp_path), "_MLFLOW_SGI_NAME": "uvicorn"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "STARTED" not in done.stdout
    assert "self-test failed: POST /api/2.0/mlflow/registered-models/rename" in done.stderr


def test_with_logins_the_actor_is_recorded_and_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.identity import whoami

    home = tmp_path / "home"
    home.mkdir()
    (home / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{home / 'auth.db'}\n"
        "admin_username = admin\nadmin_password = password-of-1234\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    for name, value in {
        "MLFLOW_AUTH_CONFIG_PATH": str(home / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key of the test",
        "MLFLOW_AUTH_ADMIN_PASSWORD": "password-of-1234",
        "MLFLOW_TRACKING_USERNAME": "admin",
        "MLFLOW_TRACKING_PASSWORD": "password-of-1234",
    }.items():
        monkeypatch.setenv(name, value)
    with serving(home, f"sqlite:///{home / 'mlflow.db'}", None, app="modelyard-auth") as server:
        name = server.model(1)
        assert server.alias(name, "staging", 1).status_code == 403
        assert server.ask("users/create", username="bob", password="password-of-bob-1").status_code == 200
        server.prove(name, 1)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "bob")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "password-of-bob-1")
        before = len(server.ledger().entries(name))
        answer = server.alias(name, "staging", 1)
        assert answer.status_code == 403, "bob may read only: MLflow itself says no"
        assert "modelyard" not in answer.text
        assert len(server.ledger().entries(name)) == before
        assert whoami(server.settings) == ("bob", True)
        assert _runs_by(server.uri, tmp_path / "bob.db") == "by searching"
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
        assert server.alias(name, "staging", 1).status_code == 401
        with pytest.raises(UnavailableError, match="answered 401"):
            _runs_by(server.uri, tmp_path / "nobody.db")
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "password-of-1234")
        assert server.alias(name, "staging", 1).status_code == 200
        promotion = fold(server.ledger().entries(name)).holders[Stage.STAGING].promotion
        assert (promotion.actor, promotion.proven) == ("admin", True)
        refused = [row.event for row in server.ledger().entries(name) if row.event.kind == "refused"]
        assert (refused[0].actor, refused[0].proven) == ("admin", True)
        assert _runs_by(server.uri, tmp_path / "admin.db") == "by what changed"


def _runs_by(uri: str, file: Path) -> str:
    """How the runs of a server are read with the login that is set."""
    from registry.runs.mirror import RunMirror
    from registry.runs.server import RunServer

    copy = RunMirror(file, uri)
    with RunServer(uri) as runs:
        copy.sync(runs)
        assert copy.rows()
        seen = runs.changes({}, "", whole=True)
        return "by what changed" if seen and seen.token else "by searching"


def test_the_alias_dialog_of_the_real_ui_says_why(server: Server, tmp_path: Path) -> None:
    """A person adds `production` in MLflow's own page: refused with the reason, then accepted on a proven version."""
    name = server.model(2, production=0.97)
    server.prove(name, 1, 0.95)
    promote(server.context(name), Ref(name, 1), Stage.STAGING, ADA)
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1600, "height": 900})
        page.set_default_timeout(NEVER_MS)
        page.goto(f"{server.uri}/#/models/{name}")
        words = refusal_of(page, 1, "production", tmp_path / "refused.png")
        assert f"top1 0.95 is below 0.97; see `modelyard gates {name}/1 production` for every figure" in words
        assert server.holders(name).get("production") is None
        server.prove(name, 2, 0.99)
        promote(server.context(name), Ref(name, 2), Stage.STAGING, ADA)
        page.reload()
        page.get_by_text("@ staging").first.wait_for()
        save_alias(page, 2, "production")
        page.get_by_role("dialog").wait_for(state="detached")
        page.reload()
        page.get_by_role("link", name="Version 2", exact=True).wait_for()
        page.screenshot(path=tmp_path / "accepted.png")
        page.get_by_text("@ production").first.wait_for()
    assert server.holders(name)["production"] == 2
    assert json.dumps([row.event.kind for row in server.ledger().entries(name)][-2:]) == '["promoted", "flipped"]'
