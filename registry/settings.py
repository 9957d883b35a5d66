"""Where things are and what they may use: read from the environment, never kept in a global.

Every field is set by `MODELYARD_<FIELD>`; credentials for MLflow stay in MLflow's own variables.
"""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from registry.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
"""The source tree, or the folder that holds the installed packages."""


class Settings(BaseSettings):
    """What a command needs to know about this machine."""

    model_config = SettingsConfigDict(env_prefix="MODELYARD_", frozen=True, extra="ignore")

    home: Path = Field(default=Path(".modelyard"), description="where everything lives")
    mlflow_uri: str | None = Field(default=None, description="an MLflow server; default: the one `modelyard up` runs")
    ledger_url: SecretStr | None = Field(default=None, description="a SQLAlchemy URL; default: ledger.db in the home")
    signing_key: Path | None = Field(
        default=None, description="Ed25519 key of the ledger's rows; default: keys/signing.pem in the home"
    )
    trusted_keys: Path | None = Field(default=None, description="a folder of *.pub; default: HOME/keys/trusted")
    api_key: SecretStr | None = Field(default=None, description="what clients of our endpoints have to show")
    runpod_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("MODELYARD_RUNPOD_API_KEY", "RUNPOD_API_KEY"), description="for RunPod"
    )
    runpod_url: str = Field(default="https://api.runpod.io", description="RunPod's REST API")
    runpod_proxy_url: str = Field(
        default="https://{pod}-{port}.proxy.runpod.net", description="where a pod's port is reached from outside"
    )
    hf_token: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("MODELYARD_HF_TOKEN", "HF_TOKEN"), description="for Hugging Face"
    )
    hf_url: str = Field(
        default="https://huggingface.co",
        validation_alias=AliasChoices("MODELYARD_HF_URL", "HF_ENDPOINT"),
        description="Hugging Face's Hub",
    )
    hf_endpoints_url: str = Field(
        default="https://api.endpoints.huggingface.cloud/v2", description="Hugging Face's Inference Endpoints"
    )
    images: str = Field(default="", description="the registry and owner of your images, e.g. ghcr.io/you")
    bundle_token: SecretStr | None = Field(
        default=None, description="what a job's private `bundles` address is checked with: the token of its `bundle_secret`"
    )
    dashboard_password: SecretStr | None = Field(default=None, description="what viewers of the dashboard have to give")
    webhook_secret: SecretStr | None = Field(default=None, description="what MLflow signs its webhooks with")
    notify_webhook: SecretStr | None = Field(default=None, description="where notices are posted, signed")
    notify_secret: SecretStr | None = Field(default=None, description="what notices to the webhook are signed with")
    notify_slack: SecretStr | None = Field(
        default=None, description="an incoming webhook of Slack, or of a service that accepts the same"
    )
    notify_smtp: SecretStr | None = Field(default=None, description="smtp://USER:PASSWORD@HOST:587, or smtps://…")
    notify_mail_from: str = Field(default="", description="the sender of notices by e-mail")
    notify_mail_to: str = Field(default="", description="who gets notices by e-mail, separated by commas")
    tf_python: Path = Field(default=ROOT / ".venv-tf/bin/python", description="the TensorFlow world's interpreter")
    node: str | None = Field(default=None, description="the Node.js that measures TF.js parity; default: the one found")
    node_modules: Path = Field(default=ROOT / "serving/browser/node_modules", description="TF.js for Node")
    parity_images: int = Field(default=200, ge=1, description="held-out images that an export is measured on, at most")
    converter_seconds: float = Field(default=600, gt=0, description="how long one converter may take before it is ended")
    converter_gb: float = Field(default=8, gt=0, description="how much memory one converter may use before it is ended")
    mlflow_patience_s: float = Field(
        default=60, ge=0, description="how long the end of a training waits for an MLflow server that is away"
    )
    local_usd_per_hour: Decimal = Field(
        default=Decimal(0), ge=0, description="what an hour of this machine costs; not set: it costs nothing"
    )

    @field_validator("runpod_api_key", "hf_token", "bundle_token", mode="before")
    @classmethod
    def _one_line(cls, given: object) -> object:
        """A cloud's key without the white space that copying adds; an empty one is none. What no such key holds is refused."""
        if not isinstance(given, str):
            return given
        key = given.strip()
        if not (key.isascii() and key.isprintable()) or " " in key:
            message = "holds a character that no key has, such as a space or the end of a line"
            raise ValueError(message)
        return key or None

    @property
    def ledger(self) -> SecretStr:
        """The ledger's URL."""
        return self.ledger_url or SecretStr(f"sqlite:///{self.home.absolute() / 'ledger.db'}")

    @property
    def endpoint_headers(self) -> dict[str, str]:
        """What a request to one of our own endpoints carries."""
        return {"Authorization": f"Bearer {self.api_key.get_secret_value()}"} if self.api_key else {}

    @property
    def key(self) -> Path:
        """The private key that signs the ledger's rows."""
        return self.signing_key or self.home / "keys" / "signing.pem"

    @property
    def trusted(self) -> Path:
        """The folder of public keys that are trusted beside our own."""
        return self.trusted_keys or self.home / "keys" / "trusted"

    @property
    def bundles(self) -> Path:
        """Where exported bundles are kept."""
        return self.home / "bundles"

    @property
    def datasets(self) -> Path:
        """Where data sets are kept."""
        return self.home / "datasets"

    @property
    def price_catalogue(self) -> Path:
        """Where fetched prices are kept, old ones too."""
        return self.home / "prices.json"

    @property
    def underway(self) -> Path:
        """Where a run is noted while it trains."""
        return self.home / "underway"

    @property
    def trainings(self) -> Path:
        """Where a run is kept until it is registered and paid for."""
        return self.home / "trainings"

    @property
    def cache(self) -> Path:
        """Where trainers keep decoded images and features; anything in it may be deleted."""
        return self.home / "cache"

    @property
    def outages(self) -> Path:
        """Where the reconciler says which accounts at providers it does not ask now."""
        return self.home / "outages.json"

    @property
    def metrics(self) -> Path:
        """Where the collector records what endpoints have counted."""
        return self.home / "metrics.db"

    @property
    def deployments(self) -> Path:
        """Where the local target keeps what it runs."""
        return self.home / "deployments"


def read_settings(home: Path | None = None) -> Settings:
    """The settings of this environment, or one line about the variable that cannot be used."""
    try:
        return Settings() if home is None else Settings(home=home)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            _variable(str(first["loc"][0])), first["msg"].removeprefix("Value error, "), "fix or unset it"
        ) from None


def _variable(at: str) -> str:
    """The environment variable that a field was read from. `at` is the field's name, or the first of its variables."""
    for name, field in Settings.model_fields.items():
        choices = field.validation_alias
        names = (
            [str(choice) for choice in choices.choices] if isinstance(choices, AliasChoices) else [f"MODELYARD_{name.upper()}"]
        )
        if at in {name, *names}:
            return next((each for each in names if each in os.environ), names[0])
    return at
