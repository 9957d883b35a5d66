"""What was measured of a version and of its endpoints, as sentences; and what every event shares. Gates judge some of these."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field

from registry.errors import share_in_words
from registry.records import (
    HEADLINES,
    DataVerdict,
    Evaluation,
    Latency,
    Leaked,
    ModelVersion,
    ParityFigures,
    Record,
    Scan,
    Timing,
)
from registry.stages import Stage


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def named(actor: str, *, proven: bool) -> str:
    """A name as pages and sentences show it: one that no server checked says so."""
    return actor if proven else f"{actor} (self-declared)"


def about(version: ModelVersion, digest: str) -> dict[str, Any]:
    """The fields by which every event names a version's exact bytes."""
    return {"model": version.model, "version": version.version, "created_ms": version.created_ms, "digest": digest}


class Event(Record):
    """Something that happened to one version's exact bytes."""

    model: str
    version: int
    created_ms: int
    digest: str

    @property
    def identity(self) -> tuple[int, int]:
        """Number and time of creation of the version."""
        return (self.version, self.created_ms)

    @property
    def subject(self) -> dict[str, Any]:
        """The fields by which every event names a version's exact bytes."""
        return {"model": self.model, "version": self.version, "created_ms": self.created_ms, "digest": self.digest}

    @property
    def label(self) -> str:
        """The version's reference, for sentences."""
        return f"{self.model}/{self.version}"


class Trained(Event):
    """A run ended in a registered version, at a cost. `timing` is None of rows of older releases and of resumed runs."""

    kind: Literal["trained"] = "trained"
    trainer: str
    run_id: str
    dataset: str
    seconds: float
    hardware: str
    usd: Decimal
    price_as_of: str
    actor: str = ""
    proven: bool = False
    timing: Timing | None = None

    def __str__(self) -> str:
        return f"{self.label} trained by {self.trainer} in {self.seconds:.0f} s on {self.hardware} for ${self.usd}"


FEW = 10
"""So many images at least are left without the leaked ones, or their score says nothing."""


def price_in_words(leaked: Leaked) -> str:
    """What a score is worth without the leaked images, and on how many that rests."""
    total = round(leaked.images / leaked.share) if leaked.share else leaked.images
    left = total - leaked.images
    score = next((leaked.metrics[name] for name in HEADLINES.values() if name in leaked.metrics), None)
    if not left or score is None:
        return f"all of the {total:,} images are leaked: without them nothing is left to measure on"
    counted = f"{left:,} image{'' if left == 1 else 's'}"
    part = (
        f"{leaked.interval[0]:.3f} to {leaked.interval[1]:.3f}, {counted}"
        if leaked.interval and left >= FEW
        else f"{counted}: too few to say"
    )
    verb = "is" if leaked.images == 1 else "are"
    share = f"{share_in_words(leaked.share)} ({leaked.images:,} of {total:,} images)"
    return f"of which {share} {verb} leaked; without them {score:.3f} ({part})"


FEW_CLIPS = 5
"""With fewer clips an interval, which resamples these alone, says little about others."""


def few_clips_in_words(clips: int, split: str = "test") -> str:
    """How little a score says that rests on fewer than five clips; empty with five or more.

    The bound is exact: with so many clips of so many right, a greater share of bad clips would have been seen in 95 % of cases.
    """
    if clips >= FEW_CLIPS:
        return ""
    counted = f"only {clips} {split} clip{'' if clips == 1 else 's'}"
    share = 1 - least_share(clips)
    return f"{counted}, so this says little: even if all were right, up to {share:.0%} of other clips may fail"


def least_share(clips: int) -> float:
    """The least share of clips that is right, at 95 % confidence, where all of so many were."""
    return float(0.05 ** (1 / max(clips, 1)))


def conditions_in_words(latency: Latency) -> str:
    """How a latency was measured: in how many rounds, and how busy the machine was; empty for one of an older release."""
    if latency.load is None:
        return ""
    busy = f"other processes kept {latency.load:.0%} of the processors busy"
    return f"best of {latency.rounds} rounds; {busy}"


def leaked_in_words(verdict: DataVerdict) -> str:
    """The share of test, or the images of val where none of test are: `31% of test are leaked`. Empty where nothing is."""
    if verdict.leaked_share:
        return f"{share_in_words(verdict.leaked_share)} of test are leaked"
    if not verdict.leaks:
        return ""
    return "1 image of val is leaked" if verdict.leaks == 1 else f"{verdict.leaks:,} images of val are leaked"


class DataChecked(Event):
    """The verdict of the data checks on the data set that a version was trained on."""

    kind: Literal["data_checked"] = "data_checked"
    verdict: DataVerdict

    def __str__(self) -> str:
        outcome = "passed" if self.verdict.holds else "failed"
        leaked = leaked_in_words(self.verdict)
        errors = f"{self.verdict.errors} errors{'; ' if leaked else ''}{leaked}"
        return f"data set {self.verdict.dataset[:12]} of {self.label} {outcome} its checks ({errors})"


class Scanned(Event):
    """A scan of a version's files, or of its bundle's."""

    kind: Literal["scanned"] = "scanned"
    what: Literal["model", "bundle"]
    scan: Scan

    def __str__(self) -> str:
        flagged = f"{len(self.scan.dangerous)} dangerous, {len(self.scan.pickles)} with pickles"
        return f"{self.what} of {self.label} scanned: {self.scan.files} files, {flagged}"


class Evaluated(Event):
    """Scores on held-out images."""

    kind: Literal["evaluated"] = "evaluated"
    evaluation: Evaluation

    def __str__(self) -> str:
        score, (low, high) = self.evaluation.score, self.evaluation.interval
        where = f"{self.evaluation.images} {self.evaluation.split} images of {self.evaluation.clips} clips"
        where += f" of data set {self.evaluation.dataset[:12]}"  # a champion is scored on a candidate's data, too
        worth = f", {price_in_words(self.evaluation.leaked)}" if self.evaluation.leaked else ""
        few = few_clips_in_words(self.evaluation.clips, self.evaluation.split)
        figures = f"{self.evaluation.score_name} {score:.3f} ({low:.3f} to {high:.3f})"
        return f"{self.label} scored {figures} on {where}{worth}{f'; {few}' if few else ''}"


class Quoted(Event):
    """What serving a version at a stage may cost in a month at most; None: that is not known, and `source` says why.

    Rows without `terms`, the hash of the deployment that was quoted, are from before targets were asked.
    """

    kind: Literal["quoted"] = "quoted"
    stage: Stage
    target: str
    usd_per_month: Decimal | None
    price_as_of: str
    usd_idle_per_month: Decimal | None = None
    hardware: str = ""
    source: str = ""
    terms: str = ""

    @property
    def basis(self) -> str:
        """What the amount rests on."""
        return ", ".join(part for part in (self.target, self.hardware, self.source, self.price_as_of) if part)

    def __str__(self) -> str:
        where = f"{self.label} at {self.stage} on {self.target}"
        if self.usd_per_month is None:
            return f"{where} could not be quoted: {self.source}"
        return f"{where} would cost {'at most ' if self.terms else ''}${self.usd_per_month} a month"


class Exported(Event):
    """A bundle was written and measured."""

    kind: Literal["exported"] = "exported"
    bundle: str
    path: str
    megabytes: float
    parity: list[ParityFigures]
    latency: Latency | None
    card_missing: list[str] | None = None

    def __str__(self) -> str:
        variants = ", ".join(figures.variant for figures in self.parity)
        return f"{self.label} exported as {variants} (bundle {self.bundle[:12]}, {self.megabytes:.1f} MB)"


class DeployStarted(Event):
    """An endpoint is about to be made: whatever ends the command from here on, it may exist at this account.

    Written before the provider is asked, so that what a killed command left behind is known and deleted.
    """

    kind: Literal["deploy_started"] = "deploy_started"
    stage: Stage
    target: str
    owner: str = ""
    endpoint: str = Field(default="", description="its own name, where it is not the stage's")
    canary: bool = False

    @property
    def handle(self) -> str:
        """The provider's id, which nobody knows yet."""
        return ""

    def __str__(self) -> str:
        what = "a canary" if self.canary else f"endpoint {self.endpoint}" if self.endpoint else "an endpoint"
        return f"deploying {self.label} as {what} for {self.stage} to {self.target} {self.owner}".rstrip()


class EndpointStopped(Event):
    """An endpoint's workers were stopped, because its month cost as much as its cap: until the next month, or a higher cap."""

    kind: Literal["endpoint_stopped"] = "endpoint_stopped"
    stage: Stage
    target: str
    endpoint: str = ""
    month: str
    usd: Decimal
    cap_usd: Decimal

    def __str__(self) -> str:
        spent = f"{self.month} cost ${self.usd:.2f} of its ${self.cap_usd:.2f}"
        return f"{self.endpoint or self.label} at {self.stage} on {self.target} stopped: {spent}"


class EndpointDeleted(Event):
    """An endpoint is gone: one that bears a name of its own, or its stage's at one of several accounts (`endpoint` is "").

    Rows of older releases have no `owner`.
    """

    kind: Literal["endpoint_deleted"] = "endpoint_deleted"
    stage: Stage
    target: str
    owner: str = ""
    endpoint: str
    reason: str

    def __str__(self) -> str:
        where = f"{self.target} {self.owner}".strip()
        return f"{self.endpoint or f'the endpoint at {self.stage}'} of {self.label} on {where} deleted: {self.reason}"
