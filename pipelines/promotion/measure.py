"""Measuring, before gates judge, what they will ask for and the ledger does not know yet."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.amounts import round_usd
from registry.digests import digest_of, manifest_of
from registry.errors import ModelyardError, shorten
from registry.events import Exported, Quoted, Scanned, about
from registry.promotion.evidence import gather
from registry.promotion.state import fold
from registry.promotion.verdict import hash_of
from registry.protocols import Ledger, Store
from registry.records import Evidence, ModelVersion, Rival
from registry.refs import Ref
from registry.stages import Stage
from serving.bundle.bundle import open_bundle
from validation.gates.budget import BudgetGate
from validation.gates.champion import ChampionGate
from validation.gates.safety import SafetyGate
from validation.scan import scan_folder

if TYPE_CHECKING:
    from pipelines.evaluation.evaluate import Evaluator
    from pipelines.home import Say
    from pipelines.job.deploys import AnyDeploy
    from pipelines.job.jobfile import Job
    from serving.targets.contract import Quote


@dataclass(frozen=True)
class Measuring:
    """Measures what a job's gates need. `quote` asks what a deployment would cost.

    Without an `evaluator` no model is run, which a server in the middle of a request must not do.
    """

    store: Store
    ledger: Ledger
    job: Job
    quote: Callable[[AnyDeploy], Quote]
    say: Say
    evaluator: Callable[[], Evaluator] | None = None

    def __call__(self, version: ModelVersion, stage: Stage) -> None:
        """Measure what is missing; what cannot be measured stays missing, and its gate says so."""
        gates = self.job.gates.of(stage)
        needs = {type(gate) for gate in gates}
        if not needs & {SafetyGate, BudgetGate, ChampionGate}:
            return
        with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
            folder = self.store.fetch(version, Path(scratch))
            digest = digest_of(manifest_of(folder))
            evidence = gather(self.ledger.entries(version.model), version, digest, stage)
            if SafetyGate in needs:
                self._scan(version, evidence, folder)
        if BudgetGate in needs:
            self._quote(version, digest, stage)
        if ChampionGate in needs and self.evaluator and evidence.dataset:
            self._score_champion(version, digest, self.evaluator, evidence.dataset)

    def _scan(self, version: ModelVersion, evidence: Evidence, folder: Path) -> None:
        key = about(version, evidence.digest)
        if "model" not in evidence.scans:
            self.ledger.append(Scanned(**key, what="model", scan=scan_folder(folder)))
        bundle = self._bundle(version, evidence)
        if bundle and "bundle" not in evidence.scans:
            self.ledger.append(Scanned(**key, what="bundle", scan=scan_folder(bundle)))

    def _bundle(self, version: ModelVersion, evidence: Evidence) -> Path | None:
        for entry in reversed(self.ledger.entries(version.model)):
            event = entry.event
            if isinstance(event, Exported) and entry.flaw is None and event.bundle == evidence.bundle:
                try:
                    return open_bundle(Path(event.path)).folder if event.subject == about(version, evidence.digest) else None
                except ModelyardError:
                    return None
        return None

    def _quote(self, version: ModelVersion, digest: str, stage: Stage) -> None:
        """Record what a month may cost, where it is not what was recorded last; also that it is not known any more."""
        deploy, key = self.job.deploy.of(stage), about(version, digest)
        terms = hash_of(deploy.model_dump(mode="json")) if deploy else "nothing"
        rows = [entry.event for entry in self.ledger.entries(version.model) if entry.flaw is None]
        quotes = [event for event in rows if isinstance(event, Quoted) and event.subject == key and event.stage is stage]
        last = quotes[-1] if quotes else None
        fields: dict[str, Any] = {"stage": stage, "target": deploy.kind if deploy else "nothing", "terms": terms}
        try:
            quoted = Quoted(**key, **fields, **(_amounts(self.quote(deploy)) if deploy else _NOTHING))
        except ModelyardError as error:
            self.say(f"serving {version.ref} at {stage} could not be quoted: {error}")
            if last and last.terms == terms and last.usd_per_month is not None:
                return  # the same deployment was quoted before
            quoted = Quoted(**key, **fields, usd_per_month=None, price_as_of="", source=shorten(error, 200))
        if last is None or _figures(last) != _figures(quoted):
            self.ledger.append(quoted)

    def _score_champion(self, version: ModelVersion, digest: str, evaluator_of: Callable[[], Evaluator], dataset: str) -> None:
        """Score who serves production on the candidate's held-out images, where that was not done with these bytes."""
        entries = self.ledger.entries(version.model)
        live = fold(entries).holders.get(Stage.PRODUCTION)
        if live is None or live.identity == version.identity:
            return
        number, created = live.identity
        rival = Rival(version=number, created_ms=created, digest=live.promotion.digest)
        champion = gather(entries, version, digest, None, rival).rival
        if champion and champion.evaluation is None:
            self.say(f"scoring the champion {version.model}/{number} on the held-out images of {version.ref}")
            try:
                evaluator = evaluator_of()  # brings the frameworks: only where a champion has to be scored
                data = evaluator.datasets.find(dataset, version.ref)
                evaluator.evaluate(Ref(version.model, number), data, "test", thorough=False)
            except ModelyardError as error:
                self.say(str(error))


_NOTHING: dict[str, Any] = {"usd_per_month": Decimal(0), "price_as_of": ""}


def _amounts(quote: Quote) -> dict[str, Any]:
    """A quote as the ledger records it."""
    return {
        "usd_per_month": round_usd(quote.usd_per_month_bound, 2),
        "usd_idle_per_month": round_usd(quote.usd_per_idle_month, 2),
        "price_as_of": quote.as_of,
        "hardware": quote.hardware,
        "source": quote.source,
    }


def _figures(quoted: Quoted) -> tuple[object, ...]:
    return (quoted.terms, quoted.usd_per_month, quoted.usd_idle_per_month, quoted.source)
