"""Asking a deployed endpoint, a URL, or a version's bundle what images show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from pipelines.deployment.targets import target_of
from registry.errors import InputError, NotFoundError, RefusedError, UnavailableError, shorten
from registry.events import Deployed, Exported
from registry.promotion.state import fold
from registry.promotion.verdict import resolve
from registry.records import ModelVersion, Record
from registry.refs import Ref, parse_ref
from registry.reports.endpoints import endpoint_name, last_deployed
from registry.stages import ALIASES, Stage

if TYPE_CHECKING:
    from pipelines.home import Workshop
    from serving.bundle.bundle import Bundle


class Answer(Record):
    """What one image was said to show, by whom."""

    image: str
    label: str
    probability: float
    probabilities: dict[str, float]
    boxes: list[dict[str, Any]] | None = None
    served_by: str


def predict(workshop: Workshop, ref_or_url: str, images: Sequence[Path]) -> list[Answer]:
    """One answer an image. A stage is asked at its endpoint; anything else is answered from its bundle, here."""
    files = [(str(image), _read(image)) for image in images]
    if ref_or_url.startswith(("http://", "https://")):
        return [_ask(ref_or_url, name, data) for name, data in files]
    ref = parse_ref(ref_or_url)
    if (event := _deployed(workshop, ref)) and event.target != "local":
        return _from_cloud(workshop, event, files)
    if ref.alias in ALIASES and (url := _endpoint(workshop, ref)):
        headers = workshop.settings.endpoint_headers
        return [_ask(url, name, data, headers) for name, data in files]
    return _from_bundle(workshop, ref, files)


def _read(image: Path) -> bytes:
    try:
        return image.read_bytes()
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise NotFoundError(image, f"cannot be read ({reason.lower()})", "name an image file") from error


def _deployed(workshop: Workshop, ref: Ref) -> Deployed | None:
    """Where a stage was deployed last."""
    if ref.alias not in ALIASES:
        return None
    return last_deployed(workshop.ledger().entries(ref.model), Stage(ref.alias))


def _from_cloud(workshop: Workshop, event: Deployed, files: list[tuple[str, bytes]]) -> list[Answer]:
    """Ask the provider's endpoint, as its clients do."""
    target = target_of(workshop, event)
    live = target.find(endpoint_name(event.model, event.stage))
    if live is None:
        remedy = f"run `modelyard deploy {event.label} --stage {event.stage}`"
        raise NotFoundError(f"endpoint of {event.model}@{event.stage}", f"is not at {event.target}", remedy)
    ask, by, found = target.ask(live), f"{live.model}/{live.version} at {live.url}", list[Answer]()
    for name, data in files:
        every = ask(data)
        best = max(every, key=every.__getitem__)
        found.append(Answer(image=name, label=best, probability=every[best], probabilities=every, served_by=by))
    return found


def _endpoint(workshop: Workshop, ref: Ref) -> str | None:
    """The address of a stage's endpoint on this machine, if it answers."""
    target = workshop.target()
    live = target.find(endpoint_name(ref.model, Stage(str(ref.alias))))
    return live.url if live and target.answers(live) else None


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
        found = answer.json()
        served_by = f"{found['model']}/{found['version']} at {url}"
        told = {key: found[key] for key in ("label", "probability", "probabilities")}
        return Answer(image=name, served_by=served_by, boxes=found.get("boxes"), **told)
    except (ValueError, KeyError, TypeError) as error:
        raise UnavailableError(url, "does not answer as a Modelyard endpoint does", "check the address") from error


def _from_bundle(workshop: Workshop, ref: Ref, files: list[tuple[str, bytes]]) -> list[Answer]:
    """Load a version's last bundle in this process."""
    from serving.inference.predictor import Predictor

    version, bundle = last_bundle(workshop, ref)
    predictor = Predictor(bundle)
    return [Answer(image=name, served_by=f"{version.ref} here", **predictor.predict([data])[0].plain()) for name, data in files]


def last_bundle(workshop: Workshop, ref: Ref) -> tuple[ModelVersion, Bundle]:
    """A version and its last bundle; of a stage only what was ratified for it."""
    from pipelines.bundles.export import open_exported

    context = workshop.context()
    version = resolve(context.store, ref)
    entries = context.ledger.entries(version.model)
    if ref.alias in ALIASES and fold(entries).stands(version, Stage(ref.alias)) is None:
        raise RefusedError(ref, f"{version.ref} was not ratified for it", f"run `modelyard promote {version.ref} {ref.alias}`")
    exports = [
        entry.event
        for entry in entries
        if isinstance(entry.event, Exported) and entry.event.identity == version.identity and entry.flaw is None
    ]
    if not exports:
        raise NotFoundError(version.ref, "has no bundle", f"run `modelyard export {version.ref}`")
    return version, open_exported(exports[-1])
