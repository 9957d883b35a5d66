"""Endpoints as they are now: and as they were: the Live page."""

from __future__ import annotations

from pathlib import Path

from worlds import entries_of, fill, page

from registry.events import HookDone, HookFailed, about
from registry.opening import ledger_of
from registry.records import ModelVersion
from registry.reports.attention import failed_deployments
from registry.reports.endpoints import existing_deployments
from registry.settings import Settings
from registry.stages import Stage
from serving.series.polling import poll_endpoints


def test_a_failing_endpoint_in_a_cloud_is_shown_until_it_is_fixed(tmp_path: Path) -> None:
    fill(tmp_path)
    ledger, second = ledger_of(Settings(home=tmp_path)), {**about(ModelVersion("hand", 2, 2), "d"), "stage": Stage.PRODUCTION}
    row = existing_deployments(entries_of(tmp_path))[0].model_copy(update={"target": "runpod"})
    ledger.append(HookFailed(**second, hook="deploy", attempt=1, reason="every worker is unhealthy"))
    known = failed_deployments(entries_of(tmp_path))
    assert poll_endpoints([row], {}, known)[0].state == "failing: every worker is unhealthy"
    ledger.append(HookDone(**second, hook="deploy"))
    assert failed_deployments(entries_of(tmp_path)) == {}


def test_the_live_page_says_which_endpoint_does_not_answer(home: Path) -> None:
    fill(home)
    shown = page("live")
    assert not shown.exception
    assert "modelyard reconcile" in shown.error[0].value.replace("\\", "")
    assert list(shown.dataframe[0].value["state"]) == ["unreachable (ConnectError)"]
