"""The RunPod target. The state is read from RunPod each time: there is no second record that could be wrong.

An endpoint keeps its name and its address. A new bundle is tried on a second endpoint, `NAME-next`, then rolled out, and
rolled back if it does not answer. RunPod allows two endpoints of one name, and a create request whose answer was lost
cannot be looked up: so each one is searched before and after it is created, and of two endpoints the older one stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from registry.errors import NotFoundError, RefusedError, UnavailableError
from registry.refs import NEXT_SUFFIX
from serving.bundle.bundle import Bundle
from serving.targets.bundle_stores import BundleStore, Uploads
from serving.targets.contract import Ask, LiveEndpoint, Publication, Quote, Smoke, Status
from serving.targets.runpod.budget import check_budget
from serving.targets.runpod.client import RunPodClient
from serving.targets.runpod.config import RunPodDeploy
from serving.targets.runpod.hosts import WorkerQuota, check_quota, check_stock, worker_quota
from serving.targets.runpod.identity import Ours, own_name, plain_name
from serving.targets.runpod.making import Maker
from serving.targets.runpod.quote import endpoint_quote
from serving.targets.runpod.release import PREFIX, Release
from serving.targets.runpod.release_spec import (
    check_can_update,
    endpoint_spec,
    id_by_name,
    matches_spec,
    restoring_spec,
    with_exclusions,
)
from serving.targets.runpod.requests import EndpointClient
from serving.targets.runpod.shapes import Endpoint, EndpointChanges, Worker, Workers
from serving.targets.runpod.workers import status_of
from serving.targets.undo import check_name, undone
from serving.targets.waiting import Clock, Stopwatch


@dataclass
class RunPodTarget:
    """Endpoints of one account whose names have our prefix."""

    client: RunPodClient
    config: RunPodDeploy
    store: BundleStore
    clock: Clock = field(default_factory=Clock)
    today: Callable[[], datetime] = lambda: datetime.now(UTC)
    ready: Stopwatch = field(default_factory=Stopwatch)

    @property
    def ours(self) -> Ours:
        """Our endpoints of the account."""
        return Ours(self.client)

    @property
    def maker(self) -> Maker:
        """Creates them."""
        return Maker(self.client, self.config, self.clock)

    def quote(self) -> Quote:
        """By the current catalogue."""
        return endpoint_quote(self.client, self.config, self.today())

    def workers_for(self, name: str) -> WorkerQuota:
        """What an endpoint of that name needs of the workers that RunPod allows the account."""
        return worker_quota(self.client, self.config, name, self.client.endpoints())

    def deploy(self, name: str, bundle: Bundle, smoke: Smoke) -> LiveEndpoint:
        """Create the endpoint, or update it to the bundle. What is refused is refused before the bundle is published."""
        every = self._checked(name, bundle.index.digest)
        return self._roll_out(name, Release.of(bundle, self.store.put(bundle)), smoke, every)

    def check(self, name: str, bundle: Bundle) -> None:
        """Whose the endpoint of that name is, its cap, quota and stock, and whether bundles may be published."""
        self._checked(name, bundle.index.digest)
        if isinstance(self.store, Uploads):
            self.store.check()

    def publications(self, bundle: Bundle) -> list[Publication]:
        """What `deploy` uploads; nothing where the user uploads."""
        return [self.store.publication(bundle)] if isinstance(self.store, Uploads) else []

    def rollback(self, name: str, smoke: Smoke) -> LiveEndpoint:
        """Return to the bundle before. The spending cap does not keep from that."""
        check_name(name)
        every = self.client.endpoints()
        standing = self.ours.only(name, every)
        before = Release.before(standing.env) if standing else None
        if before is None:
            raise NotFoundError(f"endpoint {name}", "served no bundle before", "deploy one")
        return self._roll_out(name, before, smoke, every)

    def find(self, name: str) -> LiveEndpoint | None:
        """The endpoint on RunPod with that name."""
        endpoints = self._known(name)
        return self._live(endpoints[0]) if endpoints else None

    def list(self) -> list[LiveEndpoint]:
        """Our endpoints, by name; trials are not endpoints yet."""
        ours = [
            endpoint for endpoint in self.client.endpoints() if not (own_name(endpoint) or NEXT_SUFFIX).endswith(NEXT_SUFFIX)
        ]
        lives = [live for endpoint in ours if (live := self._live(endpoint))]
        return sorted(lives, key=lambda live: live.name)

    def status(self, name: str) -> Status:
        """By its workers, and by the number of workers that RunPod allows."""
        endpoints = self._known(name)
        if not endpoints:
            return Status(state="gone", detail="no endpoint of that name")
        if endpoints[0].workers.max == 0:
            return Status(state="broken", detail="its cap stopped its workers, or RunPod did after a quiet week")
        return status_of(self.client.workers(endpoints[0].id).workers)

    def answers(self, live: LiveEndpoint) -> bool:
        """Whether that endpoint serves that bundle and may start as many workers as configured."""
        try:
            endpoint = self.client.endpoint(live.handle)
        except (NotFoundError, UnavailableError):
            return False
        release = Release.read(endpoint.env)
        full = endpoint.workers.max >= self.config.max_workers
        return full and release is not None and release.bundle == live.bundle and self.status(live.name).state != "broken"

    def ask(self, live: LiveEndpoint) -> Ask:
        """Through the load balancer, or through the queue."""
        return self._client_of(self.client.endpoint(live.handle)).ask

    def ask_within(self, live: LiveEndpoint, seconds: float) -> Ask:
        """The same, for so long at most."""
        return replace(self._client_of(self.client.endpoint(live.handle)), seconds=seconds).ask

    def logs(self, name: str, lines: int) -> list[str]:
        """The log of every worker."""
        endpoints = self._known(name)
        if not endpoints:
            raise NotFoundError(f"endpoint {name}", "is not at RunPod", "deploy it first")
        endpoint = endpoints[0]
        workers = self.client.workers(endpoint.id).workers
        return [f"{worker.id}: {line}" for worker in workers for line in self.client.worker_logs(endpoint.id, worker.id, lines)]

    def delete(self, name: str) -> None:
        """Our endpoints of that name, with trials."""
        check_name(name)
        every = self.client.endpoints()
        self.ours.clear(name, every)
        self.ours.clear(name + NEXT_SUFFIX, every)

    def delete_by(self, name: str, handle: str) -> None:
        """The same, and first the endpoint of that id, whatever it is called or its settings are now."""
        self.client.delete_endpoint(handle)
        self.delete(name)

    def _known(self, name: str) -> list[Endpoint]:
        """Ours of that name; somebody else's is none of them."""
        try:
            return self.ours.named(name)
        except RefusedError:
            return []

    def _checked(self, name: str, digest: str) -> list[Endpoint]:
        """The account's endpoints, where nothing keeps a bundle from being deployed by that name: its cap, quota and stock."""
        check_name(name)
        every = self.client.endpoints()
        standing = next(iter(self.ours.named(name, every)), None)
        check_budget(self.client, self.config, name, self.today())
        release = Release.read(standing.env) if standing else None
        if release is None or release.bundle != digest:
            self._check_room(name, every)
        return every

    def _check_room(self, name: str, every: Iterable[Endpoint]) -> None:
        check_quota(self.client, self.config, name, every)
        check_stock(self.client, self.config)

    def _roll_out(self, name: str, release: Release, smoke: Smoke, every: Iterable[Endpoint]) -> LiveEndpoint:
        """Roll a release out to the endpoint of that name, or leave it as it was. `every`: what the account has."""
        standing = self.ours.only(name, every)
        self.ours.clear(name + NEXT_SUFFIX, every)
        if standing is None:
            return self._create_first(name, release, smoke)
        old = Release.read(standing.env)
        before = Release.before(standing.env) if old == release else old
        spec = with_exclusions(self._spec(name, release, before), standing)
        if old == release and matches_spec(standing, spec):
            self._test(standing, smoke)  # an interrupted command may have left it untested
            return self._live_or_fail(standing)
        check_can_update(standing, self.config)
        if old is not None and old.bundle == release.bundle:
            self._check_room(name, every)  # other settings of the same bundle
        with self._trial(name, release) as trial:
            smoke(trial)
        back = restoring_spec(standing)
        with undone(lambda: self.client.update_endpoint(standing.id, back), "RunPod"):
            updated = self._update(standing, spec)
            self._test(updated, smoke)
        return self._live_or_fail(updated)

    def _create_first(self, name: str, release: Release, smoke: Smoke) -> LiveEndpoint:
        """Create the first endpoint of that name; a duplicate from a lost answer is deleted, the remaining one tested."""
        spec, began = self._spec(name, release, None), self.clock.now()
        fresh = self.maker.create(name, spec)
        with undone(lambda: self.client.delete_endpoint(fresh.id), "RunPod"):
            self._test(fresh, smoke, began)
            stays = self.maker.search(name)
            if stays is None:
                why = f"was made as {fresh.id}, and RunPod lists no endpoint of that name: it is deleted again"
                raise UnavailableError(f"endpoint {name}", why, "try again later")
        if stays.id != fresh.id:
            self.client.delete_endpoint(fresh.id)
            with undone(lambda: self.client.delete_endpoint(stays.id), "RunPod"):
                self._test(stays, smoke)
        return self._live_or_fail(stays)

    def _test(self, endpoint: Endpoint, smoke: Smoke, began: float | None = None) -> None:
        """Wake it, and smoke-test it. `began` is when a new one was requested."""
        self._client_of(endpoint).wait()
        smoke(self._client_of(endpoint).ask if began is None else self._first_answer(endpoint, began))

    def _first_answer(self, endpoint: Endpoint, began: float) -> Ask:
        """Ask a new endpoint, and record the time from `began` to its first answer: a queue's health check wakes no worker."""
        ask, waited = self._client_of(endpoint).ask, list[float]()

        def first(image: bytes) -> dict[str, float]:
            probabilities = ask(image)
            waited.append(self.clock.now() - began)
            self.ready.seconds = waited[0]
            return probabilities

        return first

    def _spec(self, name: str, release: Release, before: Release | None) -> EndpointChanges:
        registry, template = self.config.registry, self.config.template
        registry_id = id_by_name(registry, self.client.registries(), "registry") if registry else None
        template_id = id_by_name(template, self.client.templates(), "template") if template else None
        return endpoint_spec(self.config, release.env(name, self.config, before), registry_id, template_id)

    def _update(self, endpoint: Endpoint, spec: EndpointChanges) -> Endpoint:
        """Roll out, and wait until no worker runs an older release."""
        updated = self.client.update_endpoint(endpoint.id, spec)
        workers: list[Worker] = []
        for _ in self.clock.poll(self.config.start_seconds):
            workers = self.client.workers(endpoint.id).workers
            if not any(worker.is_stale for worker in workers):
                return updated
        stale = sum(worker.is_stale for worker in workers)
        raise UnavailableError(
            f"endpoint {endpoint.name}",
            f"{stale} of {len(workers)} workers still run the older release",
            "see RunPod's console",
        )

    @contextmanager
    def _trial(self, name: str, release: Release) -> Iterator[Ask]:
        """A second endpoint for a smoke test, always deleted afterwards, whether a list shows it or not."""
        few, tried = Workers(min=0, max=1, idle_timeout=self.config.idle_seconds), list[str]()

        def end() -> None:
            for number in tried:
                self.client.delete_endpoint(number)
            self.ours.clear(name + NEXT_SUFFIX)

        with undone(end, "RunPod"):
            spec = self._spec(name + NEXT_SUFFIX, release, None).model_copy(update={"workers": few})
            began = self.clock.now()
            trial = self.maker.create(name + NEXT_SUFFIX, spec)
            tried.append(trial.id)
            self._client_of(trial).wait()
            yield self._first_answer(trial, began)
        end()

    def _live_or_fail(self, endpoint: Endpoint) -> LiveEndpoint:
        live = self._live(endpoint)
        if live is None:
            raise UnavailableError(f"endpoint {endpoint.name}", "came back without our settings", "deploy it again")
        return live

    def _live(self, endpoint: Endpoint) -> LiveEndpoint | None:
        release = Release.read(endpoint.env)
        if release is None or endpoint.request_urls is None:
            return None
        urls = endpoint.request_urls
        return LiveEndpoint(
            name=own_name(endpoint) or plain_name(endpoint).removeprefix(PREFIX),
            model=release.model,
            version=release.version,
            bundle=release.bundle,
            url=urls.base or urls.run_sync or urls.health,
            handle=endpoint.id,
            source=release.url,
        )

    def _client_of(self, endpoint: Endpoint) -> EndpointClient:
        return EndpointClient(self.client, endpoint, self.clock, self.config.start_seconds)
