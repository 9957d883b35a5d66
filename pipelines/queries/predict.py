"""Asking a deployed endpoint, a URL, or a version's bundle what images show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from registry.errors import InputError, NotFoundError, RefusedError, UnavailableError, shorten
from registry.events import Deployed, Exported
from registry.promotion.state import fold
from registry.promotion.verdict import resolve
from registry.records import ModelVersion, Record
from registry.refs import Ref, endpoint_name, parse_ref
from registry.reports.endpoints import last_deployed
from registry.stages import ALIASES, Stage
from serving.inference.outputs import most_likely

if TYPE_CHECKING:
    from pipelines.deployment.targets import Targets
    from registry.protocols import Ledger, Store
    from serving.bundle.bundle import Bundle


class Answer(Record):
    """What one image was said to show, by whom."""

    image: str
    label: str
    probability: float
    probabilities: dict[str, float]
    boxes: list[dict[str, Any]] | None = None
    served_by: str


@dataclass(frozen=True)
class Prediction:
    """Asks for predictions. The store is opened late: an endpoint's address needs no server.

    `headers` carry our key, and go to our own endpoints alone.
    """

    ledger: Callable[[], Ledger]
    store: Callable[[], Store]
    targets: Targets
    headers: Mapping[str, str]

    def predict(self, ref_or_url: str, images: Sequence[Path]) -> list[Answer]:
        """One answer an image. A stage is asked at its endpoint; anything else is answered from its bundle, here."""
        files = [(str(image), _read(image)) for image in images]
        if ref_or_url.startswith(("http://", "https://")):
            return [_ask(ref_or_url, name, data) for name, data in files]
        ref = parse_ref(ref_or_url)
        if (event := self._deployed(ref)) and event.target != "local":
            return self._from_cloud(event, files)
        if ref.alias in ALIASES and (url := self._local_address(ref)):
            return [_ask(url, name, data, self.headers) for name, data in files]
        return _from_bundle(*last_bundle(self.store(), self.ledger(), ref), files)

    def _deployed(self, ref: Ref) -> Deployed | None:
        """Where a stage was deployed last."""
        if ref.alias not in ALIASES:
            return None
        return last_deployed(self.ledger().entries(ref.model), Stage(ref.alias))

    def _from_cloud(self, event: Deployed, files: list[tuple[str, bytes]]) -> list[Answer]:
        """Ask the provider's endpoint, as its clients do."""
        target = self.targets.of(event)
        live = target.find(endpoint_name(event.model, event.stage))
        if live is None:
            remedy = f"run `modelyard deploy {event.label} --stage {event.stage}`"
            raise NotFoundError(f"endpoint of {event.model}@{event.stage}", f"is not at {event.target}", remedy)
        ask, by, answers = target.ask(live), f"{live.model}/{live.version} at {live.url}", list[Answer]()
        for name, data in files:
            every = ask(data)
            best = most_likely(every)
            answers.append(Answer(image=name, label=best, probability=every.get(best, 0.0), probabilities=every, served_by=by))
        return answers

    def _local_address(self, ref: Ref) -> str | None:
        """The address of a stage's endpoint on this machine, if it answers."""
        target = self.targets.local()
        live = target.find(endpoint_name(ref.model, str(ref.alias)))
        return live.url if live and target.answers(live) else None


def last_bundle(store: Store, ledger: Ledger, ref: Ref) -> tuple[ModelVersion, Bundle]:
    """A version and its last bundle; of a stage only what was ratified for it."""
    from pipelines.bundles.store import open_exported

    version = resolve(store, ref)
    entries = ledger.entries(version.model)
    if ref.alias in ALIASES and fold(entries).ratification_of(version, Stage(ref.alias)) is None:
        raise RefusedError(ref, f"{version.ref} was not ratified for it", f"run `modelyard promote {version.ref} {ref.alias}`")
    exports = [
        entry.event
        for entry in entries
        if isinstance(entry.event, Exported) and entry.event.identity == version.identity and entry.flaw is None
    ]
    if not exports:
        raise NotFoundError(version.ref, "has no bundle", f"run `modelyard export {version.ref}`")
    return version, open_exported(exports[-1])


def _read(image: Path) -> bytes:
    try:
        return image.read_bytes()
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise NotFoundError(image, f"cannot be read ({reason.lower()})", "name an image file") from error


def _ask(url: str, name: str, data: bytes, headers: Mapping[str, str] | None = None) -> Answer:
    """POST an image to an endpoint; our key goes to our own endpoints alone."""
    try:
        answer = httpx.post(f"{url.rstrip('/').removesuffix('/predict')}/predict", content=data, timeout=30, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        remedy = "see `modelyard status` for live endpoints"
        raise UnavailableError(url, f"does not answer ({type(error).__name__})", remedy) from error
    if answer.status_code in {413, 422}:
        raise InputError(name, shorten(answer.text, 200), "give a whole image file")
    if not answer.is_success:
        raise UnavailableError(url, f"answered {answer.status_code}", "check that it is a Modelyard endpoint")
    try:
        document = answer.json()
        served_by = f"{document['model']}/{document['version']} at {url}"
        fields = {key: document[key] for key in ("label", "probability", "probabilities")}
        return Answer(image=name, served_by=served_by, boxes=document.get("boxes"), **fields)
    except (ValueError, KeyError, TypeError) as error:
        raise UnavailableError(url, "does not answer as a Modelyard endpoint does", "check the address") from error


def _from_bundle(version: ModelVersion, bundle: Bundle, files: list[tuple[str, bytes]]) -> list[Answer]:
    """Load a version's last bundle in this process."""
    from serving.inference.predictor import Predictor

    predictor, by = Predictor(bundle), f"{version.ref} here"
    return [Answer(image=name, served_by=by, **predictor.predict([data])[0].plain()) for name, data in files]
