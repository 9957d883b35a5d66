"""The job file, `modelyard.yaml`: the config is the object.

Unknown keys are refused, with the nearest known one; `modelyard schema` prints the JSON schema for editors.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from pipelines.job.deploys import AnyDeploy, DeployConfig
from pipelines.job.exports import ExportConfig, OnnxExport, variant_specs
from pipelines.job.launch import LocalLaunch
from pipelines.job.launches import LaunchConfig
from pipelines.job.mistakes import explain
from pipelines.job.other_trainers import STORED
from pipelines.job.search import Search, check_space
from pipelines.job.tasks import check_gates, check_trainers, with_task_defaults
from pipelines.job.trainers import TrainerConfig
from pipelines.job.yaml_file import read_yaml
from registry.errors import InputError, MissingFileError, NotFoundError
from registry.records import Record
from registry.refs import check_model_name
from registry.spending import PolicyRules
from registry.stages import Stage, of_stage
from serving.bundle.variants import VariantSpec
from serving.targets.huggingface.config import HuggingFaceDeploy
from validation.data.catalogue import ABOUT_LEAKS, CheckLevels, Level, as_levels, levels_of
from validation.gates.config import GateConfig
from validation.gates.data import DataGate
from validation.gates.parity import ParityGate


class Split(Record):
    """How frames are dealt to train, val and test. Never by frame: neighbours of one clip look alike."""

    by: Literal["clip"] = Field(default="clip", description="frames of one clip stay together; so do images of one group")
    val: float = Field(default=0.2, gt=0, lt=0.5)
    test: float = Field(default=0.2, gt=0, lt=0.5)
    seed: int = 0


class Data(Record):
    """Where the pictures come from."""

    clips: Path = Field(default=Path("clips"), description="a folder of <class>/*.mp4")
    images: Path | None = Field(default=None, description="instead of clips: a folder of <class>/*.jpg")
    group: str | None = Field(
        default=None, description="for images: a regular expression whose first group names what belongs together"
    )
    fps: float = Field(default=5, gt=0, le=120, description="frames kept from each second of a clip")
    min_change: float = Field(
        default=1.5, ge=0, le=255, description="grey levels by which a frame must differ from the one kept before"
    )
    split: Split = Split()
    slices: dict[str, str] = Field(
        default={}, description="name → regular expression over clips' names: parts of the test split that a gate can ask for"
    )
    leaks: Literal["refuse", "allow"] = Field(
        default="refuse",
        description="whether held-out images may be ones that train gives away; allow is recorded with the policy",
    )
    checks: Level | dict[str, Level] = Field(
        default="strict",
        description="whether a failed data check stops the job: a word for all, or name → word, `default` for the others",
    )

    @property
    def check_levels(self) -> CheckLevels:
        """How much each data check weighs. Leaks that the job allows are said, and stop nothing."""
        levels = levels_of(self.checks)
        for name in ABOUT_LEAKS if self.leaks == "allow" else ():
            levels = levels.lower(name)
        return levels

    @field_validator("checks", mode="before")
    @classmethod
    def _names_checks(cls, value: object) -> object:
        return as_levels(value)


class StageGates(Record):
    """The gates of each stage."""

    staging: tuple[GateConfig, ...] = ()
    production: tuple[GateConfig, ...] = ()
    unproven: Literal["block", "revert"] = Field(
        default="block", description="an alias that was set past the gates: never served; 'revert' also puts it back"
    )

    def of(self, stage: Stage) -> tuple[GateConfig, ...]:
        """A stage's gates, as they are written."""
        return of_stage(stage, self.staging, self.production)


class Budget(Record):
    """What the model may spend in a month, training and serving together."""

    usd_per_month: Decimal = Field(gt=0, allow_inf_nan=False, description="at which nothing new is trained or deployed")
    warn_at: float = Field(default=0.8, gt=0, le=1, description="the share of it from which on everybody is warned")


class StageDeploys(Record):
    """The deployment of each stage; none means the stage is not served."""

    staging: DeployConfig | None = None
    production: DeployConfig | None = None

    @model_validator(mode="after")
    def _space_of_its_own(self, info: ValidationInfo) -> Self:
        """Each deployment makes a Space hold its version's page: two stages would overwrite each other's."""
        if info.context == STORED:
            return self
        spaces = [config.space for config in (self.staging, self.production) if isinstance(config, HuggingFaceDeploy)]
        if len(spaces) > 1 and spaces[0] is not None and spaces[0] == spaces[1]:
            raise ValueError(f"both stages publish to the Space {spaces[0]}: name another one for each")
        return self

    def of(self, stage: Stage) -> AnyDeploy | None:
        """A stage's deployment, if it has one."""
        return of_stage(stage, self.staging, self.production)


class Job(Record):
    """The whole job: from clips to endpoints."""

    model: str = Field(default="hand", description="the registered model's name")
    task: Literal["classify", "detect"] = Field(
        default="classify", description="detect: pictures with boxes; trained here, or brought by `modelyard register`"
    )
    data: Data = Data()
    train: tuple[TrainerConfig, ...] = ()
    launch: LaunchConfig = LocalLaunch()
    search: Search | None = None
    gates: StageGates = StageGates()
    export: tuple[ExportConfig, ...] = (OnnxExport(),)
    deploy: StageDeploys = StageDeploys()
    budget: Budget | None = None
    policy: PolicyRules | None = Field(default=None, description="who may set the policy after this one; default: anybody")

    @property
    def variants(self) -> list[VariantSpec]:
        """The variants to export."""
        return variant_specs(self.export)

    def gates_of(self, stage: Stage) -> tuple[GateConfig, ...]:
        """A stage's gates. Parity is told which variants the job requires and how near, unless the gate says it by itself.

        So is the data gate whether leaks are refused.

        Where production has gates and parity is none of them, it is added: what the job requires must be in the bundle.
        Staging has none to add, since it is what a promotion to staging has exported that is judged.
        """
        gates = self.gates.of(stage)
        if stage is Stage.PRODUCTION and gates and not any(isinstance(gate, ParityGate) for gate in gates):
            gates = (*gates, ParityGate(images=1))
        return tuple(self._told_the_rest(gate) for gate in gates)

    def _told_the_rest(self, gate: GateConfig) -> GateConfig:
        """A gate with what other parts of the job say, where the gate does not."""
        if isinstance(gate, DataGate):
            return gate.model_copy(update={"leaks": gate.leaks or self.data.leaks})
        if not isinstance(gate, ParityGate):
            return gate
        required = tuple(spec.variant.name for spec in self.variants if spec.required)
        limits = {spec.variant.name: spec.limits for spec in self.variants}
        update = {"variants": required if gate.variants is None else gate.variants, "limits": limits | gate.limits}
        return gate.model_copy(update=update)

    @field_validator("data")
    @classmethod
    def _slices_are_patterns(cls, value: Data) -> Data:
        for name, pattern in value.slices.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"slice '{name}' is not a regular expression ({error})") from error
        return value

    @model_validator(mode="before")
    @classmethod
    def _detects(cls, value: Any) -> Any:
        return with_task_defaults(value) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _trains_what_it_can(self) -> Self:
        if self.task == "classify" and not self.train:
            raise ValueError("train: names no trainer")
        check_trainers(self.task, self.train)
        if self.search:
            check_space(self.search, self.train)
        return self

    @field_validator("model")
    @classmethod
    def _names_a_model(cls, value: str) -> str:
        return check_model_name(value)


def read_job(path: Path) -> Job:
    """Read a job file, or say in one line what is wrong with it and what was probably meant."""
    try:
        raw = read_yaml(path, "fix it, or start again with `modelyard init --force`")
    except MissingFileError as error:
        raise NotFoundError(path, "there is no job file here", "write one with `modelyard init`") from error
    job = parse_job(raw, str(path))
    check_gates(job.task, {"staging": job.gates.staging, "production": job.gates.production}, str(path))
    return job


def parse_job(raw: object, subject: str, *, stored: bool = False) -> Job:
    """Validate a job file's content. `stored`: it was accepted before, and a trainer's package may be missing by now."""
    if not isinstance(raw, dict):
        raise InputError(subject, "expected keys such as 'model:' and 'train:'", "see `modelyard schema`")
    _check_numbers(raw, subject, "")
    try:
        return Job.model_validate(raw, context=STORED if stored else None)
    except ValidationError as error:
        raise explain(error, raw, subject, Job) from error


def _check_numbers(value: object, subject: str, key_path: str) -> None:
    """Raise InputError for a number that is none: `.inf` is above every bound, and no JSON of the ledger or MLflow holds it."""
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{subject}: {key_path}", f"expected a finite number, not {value}", "give a number, or leave it out")
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        _check_numbers(part, subject, f"{key_path}.{key}".removeprefix("."))
