"""Admission: what MLflow's own server lets through, decided inside it, before anything is written.

The two stores and the artifact repository of a server process are guarded where they write, not the routes that lead
there: REST, the UI's `/ajax-api/`, a static prefix and routes that a later release adds all end in the same few methods,
and no parser of ours has to agree with MLflow's. What is refused raises MLflow's own PERMISSION_DENIED, which every
route answers with 403 and the sentence.

Calls that write nothing of interest are not touched at all.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from registry.digests import digest_of
from registry.events import Promoted, Undone
from registry.mlflow.server.addresses import addresses, reaches
from registry.mlflow.server.protected import Protected
from registry.mlflow.server.refusal import refuse
from registry.mlflow.server.store import InsideStore
from registry.promotion.context import PromotionContext
from registry.promotion.due import variant
from registry.promotion.promote import check_same, ratify, ratify_again
from registry.promotion.recover import deciding, record_flip
from registry.promotion.state import PromotionState, fold
from registry.promotion.tags import reserved, tags_of
from registry.promotion.verdict import evaluate_gates, manifest_version, resolve
from registry.protocols import Ledger
from registry.records import Actor, ModelVersion
from registry.refs import Ref
from registry.stages import ALIASES, Stage, resembled

_PROMPT_TAGS = "mlflow.prompt."


@dataclass(frozen=True)
class PendingPromotion:
    """A promotion that was ratified here, while MLflow is about to move the alias. Until it has, nobody else decides."""

    context: PromotionContext
    version: ModelVersion
    promotion: Promoted
    lease: ExitStack

    def finish(self) -> None:
        """The alias moved: write it down, unless the lease was lost and a reconciler was faster."""
        with self.lease:
            if self._pending():
                record_flip(self.context, self.version, self.promotion)

    def undo(self) -> None:
        """MLflow could not move it, and answered so: nothing may move it later."""
        with self.lease:
            if self._pending():
                reason = "MLflow could not move the alias"
                self.context.ledger.append(Undone(**self.promotion.subject, stage=self.promotion.stage, reason=reason))

    def _pending(self) -> bool:
        waiting = fold(self.context.ledger.entries(self.version.model)).pending.get(self.promotion.stage)
        return waiting is not None and waiting.identity == self.version.identity


class Admission:
    """The decisions. `closed` refuses everything, which is how the self-test sees that each method is guarded."""

    def __init__(
        self, store: InsideStore, ledger: Ledger, context_of: Callable[[str], PromotionContext], actor: Callable[[], Actor]
    ) -> None:
        """`context_of` gives a model's gates; `actor` who makes the request that is being handled."""
        self.store, self.ledger, self.context_of, self.actor = store, ledger, context_of, actor
        self.closed = False
        self.protected = Protected(store, ledger)

    def set_registered_model_alias(self, name: str, alias: str, version: object, **_: object) -> PendingPromotion | None:
        """A stage's alias: judged like any promotion; what to write down once MLflow has moved it."""
        if resembled(alias) is None or self._is_prompt(name):
            return None
        if variant(alias):
            stage = resembled(alias)
            refuse(f"alias {alias!a} is not '{stage}', and MLflow tells every letter from every other; use '{stage}'")
        stage, ref = Stage(alias), Ref(name, int(str(version)))
        candidate, state = resolve(self.store, ref), fold(self.ledger.entries(name))
        if _is_decided(state, stage, candidate):
            return None  # decided already: `modelyard promote` at its last step, or the alias set once more
        context = self.context_of(name)
        if state.ratification_of(candidate, stage) is None:
            context.measure(candidate, stage)
        manifest = manifest_version(self.store, candidate)
        with ExitStack() as lease:
            lease.enter_context(deciding(context, name, wait=False))
            context = self.context_of(name)  # the policy as it is now: nobody sets another while the lease is held
            check_same(candidate, lambda: resolve(self.store, ref))
            state = fold(self.ledger.entries(name))
            if _is_decided(state, stage, candidate):
                return None
            if state.ratification_of(candidate, stage):
                promotion = ratify_again(context, (candidate, digest_of(manifest)), stage, self.actor())
            else:
                promotion = ratify(context, evaluate_gates(context, candidate, stage, manifest), self.actor())
            return PendingPromotion(context, candidate, promotion, lease.pop_all())

    def delete_registered_model_alias(self, name: str, alias: str, **_: object) -> None:
        """A stage's alias goes only by a decision."""
        if alias not in ALIASES:
            return
        holder = fold(self.ledger.entries(name)).holders.get(Stage(alias))
        if holder is not None and self.store.aliases(name).get(alias) == holder.identity[0]:
            label = f"{name}/{holder.identity[0]}"
            refuse(f"{label} holds '{alias}' by decision; run `modelyard promote {label} archived` to take it away")

    def transition_model_version_stage(self, name: str, version: object, stage: str, **_: object) -> None:
        """MLflow's old stages say nothing that the aliases do not say."""
        candidate = resolve(self.store, Ref(name, int(str(version))))
        held = fold(self.ledger.entries(name)).stage_of(candidate.identity)
        wanted = Stage.NONE if stage.lower() == "none" else stage.lower()
        if wanted != held and (wanted in ALIASES or held in ALIASES):
            refuse(f"{candidate.ref} is '{held}' by decision, not '{stage}'; run `modelyard promote {candidate.ref} STAGE`")

    def set_model_version_tag(self, name: str, version: object, tag: Any, **_: object) -> None:
        """Our tags say what the ledger says, whoever writes them; and none hides a model from whoever asks."""
        self._refuse_hiding(name, tag.key)
        if reserved(tag.key) and self._verdict_tags(name, version).get(tag.key) != tag.value:
            refuse(f"tag '{tag.key}' is written by Modelyard alone, and {name}/{version} has no such verdict")

    def delete_model_version_tag(self, name: str, version: object, key: str, **_: object) -> None:
        """Nor may they be taken away."""
        if reserved(key) and key in self._verdict_tags(name, version):
            refuse(f"tag '{key}' of {name}/{version} is written by Modelyard alone")

    def set_registered_model_tag(self, name: str, tag: Any, **_: object) -> None:
        """Models carry no tag of ours, nor one that makes MLflow leave them out."""
        self._refuse_hiding(name, tag.key)
        if reserved(tag.key):
            refuse(f"tags that begin with 'modelyard.' are reserved; call the tag of '{name}' something else")

    def create_registered_model(self, name: str, tags: Any = None, **_: object) -> None:
        """Models carry no tag of ours from the beginning."""
        for tag in tags or ():
            self.set_registered_model_tag(name, tag)

    def create_experiment(self, artifact_location: str | None = None, **_: object) -> None:
        """A location inside our own storage would let a run's uploads reach promoted files past the guarded repository."""
        if artifact_location and self.store.owns(artifact_location):
            refuse("an experiment may not have its location inside the server's own artifacts; leave the location out")

    def delete_model_version(self, name: str, version: object, **_: object) -> None:
        """A version that backs a stage stays."""
        self._keep(self._backing(name, lambda candidate: candidate.version == int(str(version))), "deleted")

    def rename_registered_model(self, name: str, new_name: str, **_: object) -> None:
        """The ledger knows a model by its name."""
        self._keep(self._backing(name), f"renamed to '{new_name}'")

    def delete_registered_model(self, name: str, **_: object) -> None:
        """Nor may the whole model go."""
        self._keep(self._backing(name), "deleted")

    def delete_run(self, run_id: str, **_: object) -> None:
        """The run behind a version that backs a stage stays."""
        self._keep(self.protected.where(lambda location: run_id in location.run_ids), f"left without its run {run_id}")

    def delete_experiment(self, experiment_id: object, **_: object) -> None:
        """Nor may its whole experiment go."""
        self._keep(
            self.protected.where(lambda location: location.experiment_id == str(experiment_id)), "left without its experiment"
        )

    def delete_logged_model(self, model_id: str, **_: object) -> None:
        """Nor its logged model."""
        self._keep(
            self.protected.where(lambda location: location.model_id == model_id), f"left without its logged model {model_id}"
        )

    def finalize_logged_model(self, model_id: str, **_: object) -> None:
        """Nor may its logged model be called ready or failed anew."""
        self._keep(self.protected.where(lambda location: location.model_id == model_id), "finalized again")

    def delete_artifacts(self, root: str, path: str) -> None:
        """A file or a folder below an artifact root that is to be deleted, or replaced as a whole."""
        changed = addresses(root, path)
        kept = self.protected.where(
            lambda location: any(reaches(changed, kept) for kept in (location.address, *location.run_addresses))
        )
        self._keep(kept, "changed: its files are what was proven")

    def write_artifact(self, root: str, path: str, exists: Callable[[], bool]) -> None:
        """A file below an artifact root that is to be written: never among promoted files; beside their run's, if it is new."""
        changed = addresses(root, path)
        self._keep(
            self.protected.where(lambda location: reaches(changed, location.address)),
            "changed: its files are what was proven",
        )
        beside = self.protected.where(lambda location: any(reaches(changed, folder) for folder in location.run_addresses))
        if beside and exists():
            self._keep(beside, f"left with a run whose file '{posixpath.basename(path)}' was replaced")

    def create_model_version(self, name: str, tags: Any = None, **_: object) -> None:
        """A version that is copied, as the UI's Promote does, does not bring tags of ours along."""
        for tag in tags or ():
            self._refuse_hiding(name, tag.key)
        for tag in [tag for tag in tags or () if reserved(tag.key)]:
            tags.remove(tag)

    def _refuse_hiding(self, name: str, key: str) -> None:
        """MLflow's searches leave out what carries the tag of its prompts, and its client says it is not registered."""
        if key.lower().startswith(_PROMPT_TAGS) and (self.ledger.entries(name) or self.store.has_files(name)):
            refuse(f"'{name}' is a model, and tag '{key}' would hide it as a prompt; give a prompt a name of its own")

    def _is_prompt(self, name: str) -> bool:
        """MLflow keeps prompts among the models; one that the ledger knows is a model, whatever its tags say."""
        return self.store.is_prompt(name) and not self.ledger.entries(name)

    def _verdict_tags(self, name: str, version: object) -> dict[str, str]:
        return tags_of(self.ledger.entries(name), resolve(self.store, Ref(name, int(str(version)))))

    def _keep(self, promoted: Iterable[tuple[str, Stage]], what: str) -> None:
        for label, stage in promoted:
            refuse(f"{label} backs '{stage}' and may not be {what}; run `modelyard promote {label} archived` first")

    def _backing(self, name: str, which: Callable[[ModelVersion], bool] = lambda _: True) -> list[tuple[str, Stage]]:
        backing = fold(self.ledger.entries(name)).backing
        if not backing:
            return []
        mine = [version for version in self.store.versions(name) if version.identity in backing and which(version)]
        return [(str(version.ref), backing[version.identity]) for version in mine]


def _is_decided(state: PromotionState, stage: Stage, version: ModelVersion) -> bool:
    """Whether a version holds a stage by decision, or is on its way there."""
    return version.identity in {event.identity for event in (state.pending.get(stage), state.holders.get(stage)) if event}
