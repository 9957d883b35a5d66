"""The Hugging Face target: a bundle becomes a commit of a model repository, and an endpoint serves that very commit.

The state is read from Hugging Face each time. A new bundle is tried on a second endpoint, `NAME-next`, then rolled out,
and rolled back if it does not answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from registry.amounts import format_usd
from registry.errors import NotFoundError, RefusedError, UnavailableError, shorten
from registry.money.catalogue import published
from registry.money.prices import today
from registry.refs import NEXT_SUFFIX
from serving.bundle.bundle import Bundle
from serving.targets.contract import Ask, LiveEndpoint, Publication, Quote, Smoke, State, Status
from serving.targets.huggingface.bundle_store import publication_of
from serving.targets.huggingface.config import HuggingFaceDeploy
from serving.targets.huggingface.endpoints import Endpoints
from serving.targets.huggingface.hub import Files
from serving.targets.huggingface.package import repository_files
from serving.targets.huggingface.quote import catalogue_quote, listed_quote
from serving.targets.huggingface.release import PREFIX, Release, check_ours, env_of, release_of, slug_of
from serving.targets.huggingface.release_spec import (
    check_can_update,
    current_spec,
    endpoint_spec,
    image_of,
    matches_spec,
)
from serving.targets.huggingface.requests import EndpointClient
from serving.targets.undo import check_name, undone
from serving.targets.waiting import Clock, Stopwatch

if TYPE_CHECKING:
    from huggingface_hub import InferenceEndpoint

_STATES: dict[str, State] = {"running": "live", "scaledToZero": "asleep", "pending": "starting", "initializing": "starting"}
_STATES |= {"updating": "starting", "updateFailed": "broken", "failed": "broken", "paused": "broken"}


@dataclass
class HuggingFaceTarget:
    """Endpoints of one namespace whose names have our prefix. `page` builds the files of a Space."""

    endpoints: Endpoints
    config: HuggingFaceDeploy
    clock: Clock = field(default_factory=Clock)
    page: Callable[[Bundle], Files] | None = None
    ready: Stopwatch = field(default_factory=Stopwatch)

    def quote(self) -> Quote:
        """By Hugging Face's list of hardware; what it does not list, and where it does not answer, by the published prices."""
        try:
            hardware = self.endpoints.hardware()
        except UnavailableError:
            hardware = []
        return listed_quote(hardware, self.config, today()) or catalogue_quote(published(), self.config)

    def deploy(self, name: str, bundle: Bundle, smoke: Smoke) -> LiveEndpoint:
        """Check cap, account and ownership, publish the bundle, then create or update the endpoint."""
        self.check(name, bundle)
        index = bundle.index
        files, message, hub = (
            repository_files(bundle, gpu=self.config.accelerator == "gpu"),
            f"{index.model}/{index.version}",
            self.endpoints.hub,
        )
        page = self.page(bundle) if self.page and self.config.space else None  # fails, if it must, before anything is created
        revision = hub.publish(self.config.repository, files, message, private=self.config.private)
        live = self._roll_out(name, Release(index.model, index.version, index.digest, revision), smoke)
        if page and self.config.space:
            hub.publish(self.config.space, page, message, private=self.config.private, kind="space")
        return live

    def check(self, name: str, bundle: Bundle) -> None:  # noqa: ARG002 as the contract has it
        """Cap, account and rights, and whose the endpoint and the repositories of that name are."""
        check_name(name)
        self.check_budget()
        hub, config = self.endpoints.hub, self.config
        hub.check_may_write(*filter(None, (config.repository, config.space)))
        self.check_standing(name)
        hub.check_may_hold(config.repository, private=config.private)
        if config.space:
            hub.check_may_hold(config.space, private=config.private, kind="space")

    def publications(self, bundle: Bundle) -> list[Publication]:
        """What `deploy` uploads: the repository, and the Space where one is wanted."""
        config, hub = self.config, self.endpoints.hub
        public, owner = not config.private, config.repository.partition("/")[0]
        files = repository_files(bundle, gpu=config.accelerator == "gpu")
        readers = "everybody" if public else f"{owner}, and the endpoint,"
        uploads = [publication_of(bundle, files, f"{config.repository} at {hub.url}", readers, public=public)]
        if self.page and config.space:
            where = f"the Space {config.space} at {hub.url}"
            uploads.append(publication_of(bundle, self.page(bundle), where, "everybody" if public else owner, public=public))
        return uploads

    def rollback(self, name: str, smoke: Smoke) -> LiveEndpoint:
        """Return to the commit before."""
        standing = self.endpoints.get(slug_of(name))
        before = env_of(standing).get("MODELYARD_BEFORE") if standing else None
        if not before:
            raise NotFoundError(f"endpoint {name}", "served no bundle before", "deploy one")
        return self._roll_out(name, Release(**json.loads(before)), smoke)

    def find(self, name: str) -> LiveEndpoint | None:
        """The endpoint at Hugging Face with that name."""
        endpoint = self.endpoints.get(slug_of(name))
        return self._live(endpoint) if endpoint else None

    def list(self) -> list[LiveEndpoint]:
        """Our endpoints, by name; trials are not endpoints yet."""
        ours = [
            endpoint
            for endpoint in self.endpoints.all()
            if endpoint.name.startswith(PREFIX) and not endpoint.name.endswith(NEXT_SUFFIX)
        ]
        return sorted((live for endpoint in ours if (live := self._live(endpoint))), key=lambda live: live.name)

    def status(self, name: str) -> Status:
        """Its state, with Hugging Face's own word."""
        endpoint = self.endpoints.get(slug_of(name))
        if endpoint is None:
            return Status(state="gone", detail="no endpoint of that name")
        message = endpoint.raw["status"].get("message") or ""
        detail = f"{endpoint.status}{f': {shorten(message, 160)}' if message else ''}"
        return Status(state=_STATES.get(str(endpoint.status), "starting"), detail=detail)

    def answers(self, live: LiveEndpoint) -> bool:
        """Whether that endpoint serves that bundle, or would after waking."""
        try:
            endpoint = self.endpoints.get(live.handle)
        except UnavailableError:
            return False
        if endpoint is None or _STATES.get(str(endpoint.status)) not in {"live", "asleep", "starting"}:
            return False
        return env_of(endpoint).get("MODELYARD_BUNDLE") == live.bundle

    def ask(self, live: LiveEndpoint) -> Ask:
        """As a client would; while it sleeps, the proxy holds the request."""
        return self.ask_within(live, self.config.start_seconds)

    def ask_within(self, live: LiveEndpoint, seconds: float) -> Ask:
        """The same, for so long at most."""
        endpoint = self.endpoints.get(live.handle)
        if endpoint is None:
            raise NotFoundError(f"endpoint {live.name}", "is not at Hugging Face", "deploy it first")
        return replace(self._client_of(endpoint, live.name), seconds=seconds).ask

    def logs(self, name: str, lines: int) -> list[str]:
        """Its container's log."""
        if self.endpoints.get(slug_of(name)) is None:
            raise NotFoundError(f"endpoint {name}", "is not at Hugging Face", "deploy it first")
        return self.endpoints.logs(slug_of(name))[-lines:]

    def delete(self, name: str) -> None:
        """The endpoint and its trial; the repository stays, because others may use it."""
        check_name(name)
        for slug in (slug_of(name), slug_of(name) + NEXT_SUFFIX):
            self._clear(slug)

    def _clear(self, slug: str) -> None:
        """Delete an endpoint. Raises RefusedError, and leaves it, if it is not ours."""
        endpoint = self.endpoints.get(slug)
        if endpoint:
            check_ours(endpoint)
            self.endpoints.delete(slug)

    def _delete_ours(self, slug: str) -> None:
        """The same, where it is ours; what somebody else made meanwhile is left alone."""
        with suppress(RefusedError):
            self._clear(slug)

    def _roll_out(self, name: str, release: Release, smoke: Smoke) -> LiveEndpoint:
        """Roll a release out to the endpoint of that name, or leave it as it was."""
        check_name(name)
        slug = slug_of(name)
        standing = self.endpoints.get(slug)
        old = release_of(standing) if standing else None
        if standing:
            check_ours(standing)
        self._clear(slug + NEXT_SUFFIX)
        if standing is None or old is None:
            with undone(lambda: self._delete_ours(slug), "Hugging Face"):
                began = self.clock.now()
                return self._tested(name, self._create(slug, name, release), smoke, began)
        check_can_update(standing.raw, self.config, slug)
        before = env_of(standing).get("MODELYARD_BEFORE") if old == release else json.dumps(asdict(old))
        spec = endpoint_spec(self.config, name, release, before)
        if old == release and matches_spec(standing.raw, spec) and str(standing.status) != "updateFailed":
            return self._tested(name, standing, smoke)  # an interrupted command may have left it untested
        with self._trial(name, release) as trial:
            smoke(trial)
        back = current_spec(standing.raw)
        with undone(lambda: self.endpoints.update(slug, back), "Hugging Face"):
            return self._tested(name, self.endpoints.update(slug, spec), smoke)

    def _create(self, slug: str, name: str, release: Release, *, trial: bool = False) -> InferenceEndpoint:
        """Create it. Raises RefusedError where the name belongs to an endpoint of somebody else's meanwhile."""
        config = self.config
        made = self.endpoints.create(
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
            env=release.env(name, None, gpu=config.accelerator == "gpu"),
        )
        check_ours(made)
        return made

    def _tested(self, name: str, endpoint: InferenceEndpoint, smoke: Smoke, began: float | None = None) -> LiveEndpoint:
        """Wait until it runs, and smoke-test it. `began` is when a new one was requested."""
        running = self._wait(endpoint.name)
        if began is not None:
            self.ready.seconds = self.clock.now() - began
        smoke(self._client_of(running, name).ask)
        return self._live_or_fail(running)

    def _wait(self, slug: str) -> InferenceEndpoint:
        state = "nothing"
        for _ in self.clock.poll(self.config.start_seconds, pause=2.0):
            endpoint = self.endpoints.get(slug)
            state = str(endpoint.status) if endpoint else "gone"
            if endpoint and state in {"running", "scaledToZero"} and endpoint.url:
                return endpoint
            if state in {"failed", "updateFailed", "gone"}:
                words = self.endpoints.logs(slug)
                why = shorten(words[-1], 160) if words else "its log is empty"
                raise UnavailableError(f"endpoint {slug}", f"is '{state}': {why}", "see `modelyard endpoint logs`")
        raise UnavailableError(
            f"endpoint {slug}", f"was still '{state}' after {self.config.start_seconds:.0f} s", "see Hugging Face's console"
        )

    def _client_of(self, endpoint: InferenceEndpoint, name: str) -> EndpointClient:
        return EndpointClient(endpoint, name, self.endpoints.headers, self.clock, self.config.start_seconds)

    @contextmanager
    def _trial(self, name: str, release: Release) -> Iterator[Ask]:
        """A second endpoint for a smoke test, always deleted afterwards."""
        slug = slug_of(name) + NEXT_SUFFIX
        with undone(lambda: self._delete_ours(slug), "Hugging Face"):
            began = self.clock.now()
            self._create(slug, name, release, trial=True)
            running = self._wait(slug)
            self.ready.seconds = self.clock.now() - began
            yield self._client_of(running, name).ask
        self._clear(slug)

    def check_standing(self, name: str) -> None:
        """Raise for an endpoint of that name that is not ours, or that cannot change as the job wants."""
        standing = self.endpoints.get(slug_of(name))
        if standing:
            check_ours(standing)
            check_can_update(standing.raw, self.config, standing.name)

    def check_budget(self) -> None:
        """Raise RefusedError where replicas that never stop cost more than the cap."""
        cap = self.config.max_idle_usd_per_month
        idle = Decimal(0) if cap is None else self.quote().usd_per_idle_month
        if cap is not None and idle > Decimal(str(cap)):
            words = f"{format_usd(idle)} a month for replicas that never stop is over the {format_usd(cap)} cap"
            raise RefusedError("endpoint", words, "lower it")

    def _live_or_fail(self, endpoint: InferenceEndpoint) -> LiveEndpoint:
        live = self._live(endpoint)
        if live is None:
            raise UnavailableError(f"endpoint {endpoint.name}", "came back without our settings", "deploy it again")
        return live

    def _live(self, endpoint: InferenceEndpoint) -> LiveEndpoint | None:
        release, env = release_of(endpoint), env_of(endpoint)
        if release is None:
            return None
        return LiveEndpoint(
            name=env["MODELYARD_NAME"],
            model=release.model,
            version=release.version,
            bundle=release.bundle,
            url=str(endpoint.url or ""),
            handle=endpoint.name,
            source=f"{self.endpoints.hub.url}/{endpoint.repository}/resolve/{release.revision}",
        )
