"""The Hugging Face target: a bundle becomes a commit of a model repository, and an endpoint serves that very commit.

What is there is read from Hugging Face each time. A new bundle is tried out on an endpoint beside the one that serves,
`NAME-next`, then rolled out, and rolled back where it does not answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

import httpx

from registry.errors import InputError, NotFoundError, RefusedError, UnavailableError, shorten
from serving.bundle.bundle import Bundle
from serving.targets.contract import Ask, LiveEndpoint, Quote, Smoke, State, Status
from serving.targets.huggingface import quote as pricing
from serving.targets.huggingface.config import HuggingFaceDeploy
from serving.targets.huggingface.endpoints import Endpoints
from serving.targets.huggingface.hub import Files
from serving.targets.huggingface.package import repository_files
from serving.targets.huggingface.release import (
    PREFIX,
    Release,
    env_of,
    kind_of,
    probabilities_of,
    slug_of,
    told_of,
)
from serving.targets.huggingface.release_spec import as_it_was, check_may_become, holds, image_of, is_custom, wanted
from serving.targets.undo import NEXT, check_name, not_ours, undone
from serving.targets.waiting import Patience, Stopwatch, tls

if TYPE_CHECKING:
    from huggingface_hub import InferenceEndpoint

_ASK_S = 60.0
_SCALE_UP_S = "600"
_STATES: dict[str, State] = {"running": "live", "scaledToZero": "asleep", "pending": "starting", "initializing": "starting"}
_STATES |= {"updating": "starting", "updateFailed": "broken", "failed": "broken", "paused": "broken"}


@dataclass
class HuggingFaceTarget:
    """Endpoints of one namespace whose names begin with ours. `page` makes what a Space shows."""

    endpoints: Endpoints
    config: HuggingFaceDeploy
    patience: Patience = field(default_factory=Patience)
    page: Callable[[Bundle], Files] | None = None
    ready: Stopwatch = field(default_factory=Stopwatch)

    def quote(self) -> Quote:
        """By prices that were read by hand."""
        return pricing.quote(self.config)

    def deploy(self, name: str, bundle: Bundle, smoke: Smoke) -> LiveEndpoint:
        """Publish the bundle, then make the endpoint, or bring it there."""
        self._afford()
        index = bundle.index
        files, message, hub = (
            repository_files(bundle, gpu=self.config.accelerator == "gpu"),
            f"{index.model}/{index.version}",
            self.endpoints.hub,
        )
        page = self.page(bundle) if self.page and self.config.space else None  # refused, where it is, before anything is made
        revision = hub.publish(self.config.repository, files, message, private=self.config.private)
        live = self._bring(name, Release(index.model, index.version, index.digest, revision), smoke)
        if page and self.config.space:
            hub.publish(self.config.space, page, message, private=self.config.private, kind="space")
        return live

    def rollback(self, name: str, smoke: Smoke) -> LiveEndpoint:
        """Return to the commit that was served before."""
        standing = self.endpoints.get(slug_of(name))
        told = env_of(standing).get("MODELYARD_BEFORE") if standing else None
        if not told:
            raise NotFoundError(f"endpoint {name}", "served no bundle before", "deploy one")
        return self._bring(name, Release(**json.loads(told)), smoke)

    def find(self, name: str) -> LiveEndpoint | None:
        """What Hugging Face has under that name."""
        found = self.endpoints.get(slug_of(name))
        return self._live(found) if found else None

    def list(self) -> list[LiveEndpoint]:
        """Ours, by name; those that are being tried out are not endpoints yet."""
        ours = [one for one in self.endpoints.all() if one.name.startswith(PREFIX) and not one.name.endswith(NEXT)]
        return sorted((live for one in ours if (live := self._live(one))), key=lambda live: live.name)

    def status(self, name: str) -> Status:
        """In one word, and in Hugging Face's."""
        found = self.endpoints.get(slug_of(name))
        if found is None:
            return Status(state="gone", detail="no endpoint of that name")
        message = found.raw["status"].get("message") or ""
        detail = f"{found.status}{f': {shorten(message, 160)}' if message else ''}"
        return Status(state=_STATES.get(str(found.status), "starting"), detail=detail)

    def answers(self, live: LiveEndpoint) -> bool:
        """Whether that endpoint still serves that bundle, or would as soon as it is asked."""
        try:
            found = self.endpoints.get(live.handle)
        except UnavailableError:
            return False
        if found is None or _STATES.get(str(found.status)) not in {"live", "asleep", "starting"}:
            return False
        return env_of(found).get("MODELYARD_BUNDLE") == live.bundle

    def ask(self, live: LiveEndpoint) -> Ask:
        """As a client would; while it sleeps the proxy is asked to hold the request."""
        found = self.endpoints.get(live.handle)
        if found is None:
            raise NotFoundError(f"endpoint {live.name}", "is not at Hugging Face", "deploy it first")
        return lambda image: self._asked(found, live.name, image)

    def logs(self, name: str, lines: int) -> list[str]:
        """What its container said."""
        if self.endpoints.get(slug_of(name)) is None:
            raise NotFoundError(f"endpoint {name}", "is not at Hugging Face", "deploy it first")
        return self.endpoints.logs(slug_of(name))[-lines:]

    def delete(self, name: str) -> None:
        """The endpoint, and what was tried out; the repository stays, because others may use it."""
        check_name(name)
        for slug in (slug_of(name), slug_of(name) + NEXT):
            self._clear(slug)

    def _clear(self, slug: str) -> None:
        """Delete an endpoint that is ours."""
        found = self.endpoints.get(slug)
        if found and self._release(found) is None:
            raise not_ours(slug, "Hugging Face")
        if found:
            self.endpoints.delete(slug)

    def _bring(self, name: str, release: Release, smoke: Smoke) -> LiveEndpoint:
        """Bring the endpoint of that name to a release, or leave it as it was."""
        check_name(name)
        slug = slug_of(name)
        standing = self.endpoints.get(slug)
        old = self._release(standing) if standing else None
        if standing and old is None:
            raise not_ours(slug, "Hugging Face")
        self._clear(slug + NEXT)
        if standing is None or old is None:
            with undone(lambda: self.endpoints.delete(slug), "Hugging Face"):
                began = self.patience.now()
                return self._proven(name, self._create(slug, name, release), smoke, began)
        check_may_become(standing.raw, self.config, slug)
        before = env_of(standing).get("MODELYARD_BEFORE") if old == release else json.dumps(asdict(old))
        told = wanted(self.config, name, release, before)
        if old == release and holds(standing.raw, told) and str(standing.status) != "updateFailed":
            return self._proven(name, standing, smoke)  # one made by a command that was cut off was never proven
        with self._tried(name, release) as trial:
            smoke(trial)
        back = as_it_was(standing.raw)
        with undone(lambda: self.endpoints.update(slug, back), "Hugging Face"):
            return self._proven(name, self.endpoints.update(slug, told), smoke)

    def _create(self, slug: str, name: str, release: Release, *, trial: bool = False) -> InferenceEndpoint:
        config = self.config
        return self.endpoints.create(
            slug,
            repository=config.repository,
            revision=release.revision,
            framework="custom",
            task="custom",
            accelerator=config.accelerator,
            instance_size=config.size,
            instance_type=config.instance,
            region=config.region,
            vendor=config.vendor,
            min_replica=0 if trial else config.min_replicas,
            max_replica=1 if trial else config.max_replicas,
            scale_to_zero_timeout=None if config.min_replicas and not trial else config.sleep_minutes,
            type=config.access,
            custom_image=image_of(self.config),
            env=told_of(name, release, None, gpu=config.accelerator == "gpu"),
        )

    def _proven(self, name: str, one: InferenceEndpoint, smoke: Smoke, began: float | None = None) -> LiveEndpoint:
        """Wait until it runs, and see that it answers as it must. `began` is when a new one was asked for."""
        running = self._wait(one.name)
        if began is not None:
            self.ready.seconds = self.patience.now() - began
        smoke(lambda image: self._asked(running, name, image))
        return self._kept(running)

    def _wait(self, slug: str) -> InferenceEndpoint:
        state = "nothing"
        for _ in self.patience.until(self.config.start_seconds, pause=2.0):
            found = self.endpoints.get(slug)
            state = str(found.status) if found else "gone"
            if found and state in {"running", "scaledToZero"} and found.url:
                return found
            if state in {"failed", "updateFailed", "gone"}:
                words = self.endpoints.logs(slug)
                why = shorten(words[-1], 160) if words else "it says nothing"
                raise UnavailableError(f"endpoint {slug}", f"is '{state}': {why}", "see `modelyard endpoint logs`")
        raise UnavailableError(
            f"endpoint {slug}", f"was still '{state}' after {self.config.start_seconds:.0f} s", "see Hugging Face's console"
        )

    def _asked(self, one: InferenceEndpoint, name: str, image: bytes) -> dict[str, float]:
        address = f"{one.url}/predict" if is_custom(one.raw) else str(one.url)
        headers = self.endpoints.headers | {"Content-Type": "application/octet-stream", "X-Scale-Up-Timeout": _SCALE_UP_S}
        headers["Content-Type"] = kind_of(image)
        status = "no answer"
        for _ in self.patience.until(self.config.start_seconds, pause=2.0):
            try:
                answer = httpx.post(address, content=image, headers=headers, timeout=_ASK_S, verify=tls())
            except httpx.HTTPError as error:
                status = type(error).__name__
                continue
            status = str(answer.status_code)
            if answer.status_code == httpx.codes.OK:
                return probabilities_of(answer.json(), name)
            if answer.status_code not in {429, 500, 502, 503, 504}:
                text = shorten(answer.text, 160)
                raise InputError(f"endpoint {name}", f"refused ({status}: {text})", "send an image file")
        raise UnavailableError(f"endpoint {name}", f"did not answer ({status})", "see `modelyard endpoint logs`")

    @contextmanager
    def _tried(self, name: str, release: Release) -> Iterator[Ask]:
        """An endpoint beside the one that serves, gone afterwards whatever happens."""
        slug = slug_of(name) + NEXT
        try:
            began = self.patience.now()
            self._create(slug, name, release, trial=True)
            running = self._wait(slug)
            self.ready.seconds = self.patience.now() - began
            yield lambda image: self._asked(running, name, image)
        finally:
            self.endpoints.delete(slug)

    def _afford(self) -> None:
        cap, idle = self.config.max_usd_per_month, self.quote().usd_per_idle_month
        if cap is not None and idle > Decimal(str(cap)):
            raise RefusedError(
                "endpoint", f"${idle:.2f} a month for replicas that never stop is over the ${cap:.2f} cap", "lower it"
            )

    def _kept(self, one: InferenceEndpoint) -> LiveEndpoint:
        live = self._live(one)
        if live is None:
            raise UnavailableError(f"endpoint {one.name}", "was answered without our settings", "deploy it again")
        return live

    def _live(self, one: InferenceEndpoint) -> LiveEndpoint | None:
        release, env = self._release(one), env_of(one)
        if release is None:
            return None
        return LiveEndpoint(
            name=env["MODELYARD_NAME"],
            model=release.model,
            version=release.version,
            bundle=release.bundle,
            url=str(one.url or ""),
            handle=one.name,
            source=f"{self.endpoints.hub.url}/{one.repository}/resolve/{release.revision}",
        )

    def _release(self, one: InferenceEndpoint) -> Release | None:
        env = env_of(one)
        try:
            return Release(env["MODELYARD_MODEL"], int(env["MODELYARD_VERSION"]), env["MODELYARD_BUNDLE"], str(one.revision))
        except (KeyError, ValueError):
            return None
