"""MLflow's workspaces are refused by every spelling that MLflow takes for on, at the server and at a command."""

from __future__ import annotations

import pytest
from mlflow.environment_variables import MLFLOW_ENABLE_WORKSPACES

from pipelines.plugins.admission import refuse_workspaces
from registry.errors import InputError
from registry.mlflow.connection import connect

ON = ["1", "true", "True", "TRUE", "tRuE"]
OFF = ["0", "false", "False", "FALSE"]
NEITHER = ["yes", "on", "", " true", "true ", "2", "enabled"]


@pytest.mark.parametrize("value", ON + OFF + NEITHER)
def test_a_server_starts_only_where_mlflow_takes_workspaces_for_off(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_WORKSPACES", value)
    if value in OFF:
        assert MLFLOW_ENABLE_WORKSPACES.get() is False
        refuse_workspaces()
        return
    with pytest.raises(SystemExit, match=r"workspaces\.md" if value in ON else "MLFLOW_ENABLE_WORKSPACES value must be"):
        refuse_workspaces()


def test_a_server_without_the_setting_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_ENABLE_WORKSPACES", raising=False)
    refuse_workspaces()


def test_a_command_in_a_workspace_is_refused_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_WORKSPACE", "vision")
    with pytest.raises(InputError, match="MLFLOW_WORKSPACE=vision: names a workspace"):
        connect("http://127.0.0.1:9")
