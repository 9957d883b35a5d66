"""MLflow's deployment plug-in: `mlflow deployments create -t runpod -m models:/hand@production --name hand`.

One module for the three targets `runpod`, `huggingface` and `modelyard-local`. Only a version that holds a stage by
decision is deployed: the way past the gates is not here either.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import click
import pandas as pd
from mlflow.deployments import BaseDeploymentClient
from mlflow.exceptions import MlflowException
from pydantic import TypeAdapter, ValidationError

from pipelines.bundles.store import BundleStore, open_exported
from pipelines.deployment.named import NamedEndpoint, check_gate, record_deletion
from pipelines.deployment.retire import check_unwanted
from pipelines.deployment.targets import Targets
from pipelines.home import Home
from pipelines.job.deploys import AnyDeploy, DeployConfig
from pipelines.job.differences import deploy_differences
from pipelines.job.policy import current_policy, document_of
from pipelines.plugins.inputs import file_of, pictures_of
from pipelines.promotion.assemble import assemble
from registry.errors import InputError, ModelyardError, NotFoundError, RefusedError
from registry.promotion.policy import policy_entry
from registry.promotion.state import fold
from registry.promotion.verdict import digest_version, resolve
from registry.records import ModelVersion
from registry.refs import Ref, endpoint_name, parse_ref
from registry.settings import read_settings
from registry.stages import ALIASES, Stage
from serving.bundle.bundle import Bundle
from serving.targets.contract import LiveEndpoint, Target

_KINDS = {"modelyard-local": "local", "runpod": "runpod", "huggingface": "huggingface"}


class DeploymentError(MlflowException, click.ClickException):
    """An error of ours, as MLflow's callers expect it, and as its command line shows it: one line."""

    exit_code = 2


class RefusedDeploymentError(DeploymentError):
    """A gate said no: the question was fine."""

    exit_code = 1


@contextmanager
def _ours() -> Iterator[None]:
    try:
        yield
    except ModelyardError as error:
        kind = RefusedDeploymentError if isinstance(error, RefusedError) else DeploymentError
        raise kind(str(error)) from error


def target_help() -> str:
    """What `mlflow deployments help -t TARGET` shows."""
    return (
        "Serves versions that hold a stage, from their exported bundles. The name is the endpoint's. Where and how is what\n"
        "the model's job says under `deploy:` for this target; -C KEY=VALUE says otherwise, or what no job says (lists with\n"
        "commas), e.g.\n\n"
        "  mlflow deployments create -t modelyard-local -m models:/hand@production --name hand\n"
        "  mlflow deployments create -t runpod -m models:/hand@production --name hand\n"
        "  mlflow deployments create -t runpod -m models:/hand@production --name hand \\\n"
        "    -C image=docker.io/you/modelyard-serve:0.1 -C bundles=hf:you/bundles\n"
        "  mlflow deployments create -t huggingface -m models:/hand@production --name hand -C repository=you/hand\n\n"
        "RUNPOD_API_KEY or HF_TOKEN, and MODELYARD_HOME where it is not ./.modelyard, come from the environment.\n"
        '`predict` takes a JSON file: {"inputs": ["<base64 of an image file>"]}.'
    )


def run_local(name: str, model_uri: str, flavor: str | None = None, config: dict[str, Any] | None = None) -> None:
    """`mlflow deployments run-local`: on this machine, whatever the target."""
    Client("modelyard-local").create_deployment(name, model_uri, flavor, config)


class Client(BaseDeploymentClient):
    """Creates, updates, lists, asks and deletes endpoints of one target."""

    def __init__(self, target_uri: str) -> None:
        """`target_uri` is the target's name."""
        super().__init__(target_uri)
        self._kind = _KINDS[target_uri.partition(":")[0]]
        self._home = Home(read_settings())
        self._by_config = Targets(self._home.settings)

    @_ours()
    def create_deployment(
        self,
        name: str,
        model_uri: str,
        flavor: str | None = None,
        config: dict[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> Any:
        """Deploy; a name that exists is refused."""
        _plain(flavor, endpoint)
        settings = self._settings(model_uri, config)
        self._check_by_policy(name, model_uri, settings)
        target = self._target(settings)
        if target.find(name) is not None:
            raise InputError(f"deployment '{name}'", "exists", "use `mlflow deployments update`, or another name")
        return self._deploy(target, self._config(settings), name, model_uri)

    @_ours()
    def update_deployment(
        self,
        name: str,
        model_uri: str | None = None,
        flavor: str | None = None,
        config: dict[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> Any:
        """Bring it to another version, or to other settings."""
        _plain(flavor, endpoint)
        _, live = self._find(name)
        wanted = model_uri or f"models:/{live.model}/{live.version}"
        settings = self._settings(wanted, config)
        self._check_by_policy(name, wanted, settings)
        target = self._target(settings)
        if target.find(name) is None:
            raise NotFoundError(f"deployment '{name}'", "is elsewhere at this target", "give each -C as it was created with")
        return self._deploy(target, self._config(settings), name, wanted)

    @_ours()
    def delete_deployment(self, name: str, config: dict[str, Any] | None = None, endpoint: str | None = None) -> None:
        """Stop and forget it. Of Hugging Face, whatever namespace of the token's owner it is in."""
        _plain(None, endpoint)
        target, live = self._find(name, config)
        check_unwanted(self._home.ledger().entries(live.model), self._kind, name)
        with self._working(live.model):
            target.delete(name)
            record_deletion(self._home.ledger(), live, self._kind)

    @_ours()
    def list_deployments(self, endpoint: str | None = None) -> Any:
        """Every one of the account, by name."""
        _plain(None, endpoint)
        return [_as_dict(live) for target in self._targets() for live in target.list()]

    @_ours()
    def get_deployment(self, name: str, endpoint: str | None = None) -> Any:
        """One, and how it is."""
        _plain(None, endpoint)
        target, live = self._find(name)
        return _as_dict(live) | {"status": target.status(name).model_dump(mode="json")}

    @_ours()
    def predict(self, deployment_name: str | None = None, inputs: Any = None, endpoint: str | None = None) -> Any:
        """Image files' bytes, or base64 of them, alone or listed, also as `inputs` → each class's probability."""
        target, live = self._find(str(deployment_name or endpoint))
        ask = target.ask(live)
        given = pictures_of(inputs)
        many = given if isinstance(given, list) else [given]
        answers = [ask(image) for image in map(file_of, many)]
        if isinstance(inputs, pd.DataFrame):
            return pd.DataFrame(answers)
        return answers if isinstance(given, list) else answers[0]

    def _settings(self, model_uri: str, config: dict[str, Any] | None) -> dict[str, Any]:
        """What the model's job says of this target, and what was given on top of it."""
        ref = _ref(model_uri)
        policy = current_policy(self._home.ledger().entries(ref.model))
        own = self._stage_of(ref)
        stages = [own, *(stage for stage in reversed(ALIASES) if stage is not own)]
        deploys = [policy.deploy.of(stage) for stage in stages if stage is not None] if policy else []
        configs = [deploy for deploy in deploys if deploy is not None and deploy.kind == self._kind]
        return (configs[0].model_dump(mode="json", exclude_unset=True) if configs else {}) | (config or {})

    def _stage_of(self, ref: Ref) -> Stage | None:
        """The stage that a version holds by decision, however it is named."""
        if ref.alias in ALIASES:
            return Stage(str(ref.alias))
        number = ref.version or resolve(self._home.store(), ref).version
        holders = fold(self._home.ledger().entries(ref.model)).holders
        return next((stage for stage, holder in holders.items() if holder.identity[0] == number), None)

    def _check_by_policy(self, name: str, model_uri: str, settings: dict[str, Any]) -> None:
        """A stage's own endpoint is deployed as the policy says: the reconciler would undo anything else within seconds."""
        ref = _ref(model_uri)
        entry, stage = policy_entry(self._home.ledger().entries(ref.model)), self._stage_of(ref)
        if entry is None or stage is None or name != endpoint_name(ref.model, stage):
            return
        document = document_of(entry)
        wanted = {"deploy": {stage.value: self._config(settings).model_dump(mode="json")}}
        if document["deploy"].get(stage.value) and (lines := deploy_differences(document, wanted, stage.value)):
            remedy = f"change the job and run `modelyard policy set`, or deploy it by another name than {name}"
            raise InputError(f"deployment '{name}'", f"is not what the policy says ({'; '.join(lines)})", remedy)

    def _target(self, config: dict[str, Any] | None) -> Target:
        return self._by_config.build(self._config(config or {}))

    def _working(self, model: str) -> AbstractContextManager[object]:
        """The model's lease: not at the same time as the reconciler."""
        return self._home.leases(self._home.ledger()).hold(model, wait=True)

    def _targets(self) -> list[Target]:
        """For looking and deleting; of Hugging Face, one for each namespace of the token's owner."""
        if self._kind == "huggingface":
            return [self._by_config.of_kind(self._kind, owner) for owner in self._owners]
        return [self._by_config.of_kind(self._kind)]

    def _find(self, name: str, config: dict[str, Any] | None = None) -> tuple[Target, LiveEndpoint]:
        for target in [self._target(config)] if config else self._targets():
            if live := target.find(name):
                return target, live
        raise NotFoundError(f"deployment '{name}'", "does not exist", "see `mlflow deployments list`")

    def _config(self, given: dict[str, Any]) -> AnyDeploy:
        """MLflow's KEY=VALUE pairs as the job file's `deploy`."""
        lists = {"pools", "data_centers"}
        fields = {key: value.split(",") if key in lists and isinstance(value, str) else value for key, value in given.items()}
        fields = {"kind": self._kind} | fields
        try:
            return TypeAdapter[AnyDeploy](DeployConfig).validate_python(fields, strict=False)
        except ValidationError as error:
            first = error.errors()[0]
            remedy = f"give it, or a `deploy` of kind {self._kind} in the model's job; see `mlflow deployments help`"
            problem = first["msg"].removeprefix("Value error, ")
            raise InputError(f"-C {'.'.join(map(str, first['loc'][1:]))}", problem, remedy) from error

    @property
    def _owners(self) -> list[str]:
        """Whose endpoints at Hugging Face: the token's owner's, and those of the organisations it belongs to."""
        token = self._home.settings.hf_token
        if token is None:
            raise InputError("HF_TOKEN", "is not set", "set it to a token that may write")
        from serving.targets.huggingface.hub import Hub

        hub = Hub(token, self._home.settings.hf_url)
        owner = hub.call(hub.api.whoami)
        return [str(account["name"]) for account in (owner, *(owner.get("orgs") or []))]

    def _deploy(self, target: Target, config: AnyDeploy, name: str, model_uri: str) -> dict[str, Any]:
        """As `modelyard deploy` does: budgets are held, a row is booked, and retiring finds it."""
        ref, say = _ref(model_uri), partial(click.echo, err=True)
        stage, ledger = self._stage_of(ref), self._home.ledger()
        policy = current_policy(ledger.entries(ref.model))
        if stage is not None and name == endpoint_name(ref.model, stage):
            with self._working(ref.model):
                check_gate(name, target.quote(), policy, stage)
                assemble(self._home, say).deployer.deploy(config, ref, stage)
            live = target.find(name)
            if live is None:
                raise NotFoundError(f"deployment '{name}'", "is not there any more", "see `modelyard status`")
            return _as_dict(live) | {"flavor": "onnx"}
        version, digest, held, bundle = self._ratified(model_uri)
        named = NamedEndpoint(ledger, say, name, config, held, version, digest, bundle)
        with self._working(version.model):
            live = named.deploy(target, policy)
        return _as_dict(live) | {"flavor": "onnx"}

    def _ratified(self, model_uri: str) -> tuple[ModelVersion, str, Stage, Bundle]:
        """A version that holds a stage with the bytes that were ratified, their digest, the stage, and its bundle."""
        context = self._home.context()
        version = resolve(context.store, _ref(model_uri))
        digest = digest_version(context.store, version)
        holders = fold(context.ledger.entries(version.model)).holders
        held = [stage for stage in reversed(ALIASES) if stage in holders and holders[stage].identity == version.identity]
        stages = [stage for stage in held if holders[stage].promotion.digest == digest]
        if not stages:
            raise RefusedError(version.ref, "holds no stage with these bytes", f"run `modelyard promote {version.ref} staging`")
        exported = BundleStore(self._home.settings.bundles, context.ledger).find_valid(version, digest)
        if exported is None:
            raise NotFoundError(version.ref, "has no bundle of these bytes", f"run `modelyard export {version.ref}`")
        return version, digest, stages[0], open_exported(exported)


def _ref(model_uri: str) -> Ref:
    if not model_uri.startswith("models:/"):
        raise InputError(model_uri, "is not a registered model", "use models:/NAME@production or models:/NAME/VERSION")
    return parse_ref(model_uri)


def _as_dict(live: LiveEndpoint) -> dict[str, Any]:
    return live.model_dump(mode="json")


def _plain(flavor: str | None, endpoint: str | None) -> None:
    """Two of MLflow's ideas that there is nothing for here."""
    if endpoint:
        raise MlflowException(f"--endpoint {endpoint}: deployments here are endpoints; leave it out")
    if flavor not in {None, "onnx"}:
        raise MlflowException(f"--flavor {flavor}: bundles are served from ONNX; leave it out")
