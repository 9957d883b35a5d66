"""What each service of `up` is told of its surroundings: keys that act reach who acts, and the dashboard has a list."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pipelines.services.webhook import encryption_key
from registry.reports.reviews import REVIEWER
from serving.environment import safe_environment

_ACTING = ("RUNPOD_", "HF_TOKEN", "HUGGING", "MODELYARD_RUNPOD_API_KEY", "MODELYARD_HF_TOKEN", "MODELYARD_NOTIFY_")
_ACTING += ("MODELYARD_BUNDLE_TOKEN",)
"""How the names begin of what acts at a provider, or speaks for us."""
_READ = ("MODELYARD_", "MLFLOW_", "STREAMLIT_", "PG")
"""Of the dashboard: its settings, MLflow's login, and PostgreSQL's where the ledger lies there."""
_COUNTS = ("MODELYARD_API_KEY", "MODELYARD_LEDGER_URL", "MODELYARD_SIGNING_KEY", "MODELYARD_TRUSTED_KEYS")
"""Of the collector: the key that endpoints ask for, and where the ledger and its public keys lie."""
_NOT_READ = (*_ACTING, "MODELYARD_WEBHOOK_SECRET")


def inherited(name: str) -> dict[str, str]:
    """The environment for a service: no other MLflow server's address or reviewer, the clouds' keys for the reconciler only.

    The dashboard, which opens pictures from anywhere, gets an allow list, and so does the collector.
    """
    others = {"MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MODELYARD_MLFLOW_URI", REVIEWER}
    if name == "dashboard":
        return {key: value for key, value in dashboard_environment().items() if key not in others}
    if name == "collector":
        database = [key for key in os.environ if key.startswith("PG") and "MODELYARD_LEDGER_URL" in os.environ]
        return safe_environment(*_COUNTS, *database)
    withheld = () if name == "reconciler" else _ACTING
    return {key: value for key, value in os.environ.items() if key not in others and not key.startswith(withheld)}


def dashboard_environment() -> dict[str, str]:
    """What the dashboard has to know: its own settings and MLflow's login, and no key that acts anywhere."""
    return safe_environment(*(key for key in os.environ if key.startswith(_READ) and not key.startswith(_NOT_READ)))


def own_settings(name: str, home: Path) -> Mapping[str, str]:
    """What a service reads from the environment besides; the collector asks no MLflow, and needs none of its keys."""
    if name == "collector":
        return {"MODELYARD_HOME": str(home)}
    return {
        "MODELYARD_HOME": str(home),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven idle job workers that take ten seconds to start
        "GIT_PYTHON_REFRESH": "quiet",
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",  # to our own receiver, on loopback
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_CACHE_TTL": "2",  # else a webhook that is asked for now is not sent for a minute
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": encryption_key(home).get_secret_value(),
    }
