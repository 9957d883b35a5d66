"""`modelyard dashboard` and `modelyard report`: the dashboard's room is started from here and never imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.services.environments import dashboard_environment
from pipelines.services.up import ServiceGroup, claim, require_streamlit, start_dashboard, stop, wait_for
from registry.errors import InputError, ModelyardError, shorten
from registry.opening import keys_of
from registry.reports.costs import check_month
from registry.reports.reviews import REVIEWER
from registry.settings import ROOT, Settings
from serving.server.exposure import Exposure, address_of, is_loopback

_ENDINGS = (".html", ".csv", ".json")
_REPORT_S = 120


@contextmanager
def dashboard_running(
    settings: Settings, host: str, port: int, say: Callable[[str], None], reviewer: str = ""
) -> Generator[ServiceGroup]:
    """The dashboard alone, on whatever MLflow server the settings name, until the block ends.

    With a `reviewer` its review page records decisions under that name. It cannot tell its viewers apart, so it is then for
    this machine only: InputError for another host.
    """
    if reviewer and not is_loopback(address_of(host)):
        why = f"would let whoever opens the page at {host} decide as {reviewer}"
        raise InputError("--review", why, "leave --host out; from elsewhere, use `modelyard data review`")
    password = settings.dashboard_password
    protected = password is not None and bool(password.get_secret_value().strip())
    Exposure(protected, "set MODELYARD_DASHBOARD_PASSWORD, or leave --host out").check(host, address_of(host))
    require_streamlit()
    home, keeper = settings.home.absolute(), ServiceGroup()
    home.mkdir(parents=True, exist_ok=True)
    keys_of(settings).keep_public()
    servers = {"MODELYARD_MLFLOW_URI": settings.mlflow_uri} if settings.mlflow_uri else {}
    if reviewer:
        servers[REVIEWER] = reviewer
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        servers["MLFLOW_TRACKING_URI"] = uri
    try:
        keeper.services.append(start_dashboard(home, claim(port, "--port"), host, servers))
        wait_for(keeper, say)
        yield keeper
    finally:
        stop(keeper)


def make_report(settings: Settings, file: Path, month: str | None = None) -> dict[str, Any]:
    """Write the Overview to a file, or the statement of a month, and return it.

    Raises InputError for an ending that is none of ours, and for what is no month.
    """
    check_month(month)
    if file.suffix.lower() not in _ENDINGS:
        raise InputError(file, "is not a known kind of report", f"end its name in {', '.join(_ENDINGS)}")
    keys_of(settings).keep_public()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "dashboards.report", str(file.absolute()), *([month] if month else [])],
        env={**dashboard_environment(), "MODELYARD_HOME": str(settings.home.absolute()), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=_REPORT_S,
        check=False,
    )
    if done.returncode:
        raise ModelyardError(file, f"could not be written: {shorten(done.stderr.strip(), 300)}", "fix that and run it again")
    return dict(json.loads(done.stdout.splitlines()[-1]))
