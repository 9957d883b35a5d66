"""An exporter whose experiment tracker is a list, and what its tests ask of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipelines.bundles.export import Exporter
from pipelines.bundles.store import BundleStore
from pipelines.data.catalog import DatasetCatalog
from pipelines.deployment.targets import Targets
from pipelines.job.jobfile import Job, parse_job
from registry.errors import StorageError
from registry.events import Exported, about
from registry.promotion.context import PromotionContext
from registry.promotion.verdict import digest_version
from registry.records import Actor, Evidence, Finding, ModelVersion
from registry.refs import Ref
from registry.settings import Settings

ADA = Actor("ada", proven=True)
Model = Callable[..., ModelVersion]
CANNOT: set[str] = set()  # variants that the converters of the tests do not make


@dataclass
class Run:
    """An experiment tracker and its one run: a list of what was shown, or broken."""

    seen: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    @contextmanager
    def resume(self, run_id: str) -> Iterator[Run]:
        if self.broken:
            raise StorageError("MLflow", self.broken[0], "free some space")
        yield self

    def folder(self, folder: Path, path: str) -> None:
        self.seen.append(path)

    def metrics(self, values: dict[str, float]) -> None:
        self.seen.extend(values)


class Shop:
    """A home whose experiment tracker is a list, and its exporter."""

    def __init__(self, settings: Settings, context: PromotionContext) -> None:
        self.settings, self.run = settings, Run()
        bundles, datasets = BundleStore(settings.bundles, context.ledger), DatasetCatalog(settings.datasets)
        in_use = lambda: [live.source for live in Targets(settings).local().list()]  # noqa: E731
        parts = (context.store, context.ledger, bundles, datasets, lambda _: self.run, in_use, settings)
        self.exporter = Exporter(*parts, quiet)

    @property
    def seen(self) -> list[str]:
        return self.run.seen

    @property
    def broken(self) -> list[str]:
        return self.run.broken


def export(
    shop: Shop, _: PromotionContext, job: Job, ref: Ref, say: Callable[[str], None], names: Sequence[str] = ()
) -> Exported:
    return replace(shop.exporter, say=say).export(ref, job, names)


class Passes:
    """A gate that lets everything through."""

    kind = "passes"

    def judge(self, evidence: Evidence) -> list[Finding]:
        return [Finding(gate="passes", passed=True, text="as told")]


def about_of(context: PromotionContext, version: ModelVersion) -> dict[str, object]:
    return about(version, digest_version(context.store, version))


def job(*exports: dict[str, object]):
    raw = {"model": "digits", "train": [{"kind": "torch"}], "export": list(exports) or [{"kind": "onnx"}]}
    gate = {"kind": "metric", "name": "top1", "at_least": 0.5}
    return parse_job(raw | {"gates": {"staging": [gate], "production": [gate]}}, "test")


def quiet(_: str) -> None:
    return


def shelf(shop: Shop) -> set[str]:
    return {folder.name for folder in (shop.settings.bundles / "digits").iterdir()}
