"""One training on a pod: quoted, placed, fed, followed, fetched from, and always ended; never over its cap."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from pydantic import SecretStr

from pipelines.job.launch_runpod import RunPodLaunch
from pipelines.training.launchers.archives import Archive
from pipelines.training.launchers.pod_link import PORT, News, PodLink
from pipelines.training.launchers.runpod_meter import LEAST_S, Meter
from pipelines.training.launchers.runpod_pods import Placed, PodPlacer
from pipelines.training.launchers.runpod_quote import Candidate, quote_pods
from pipelines.training.launchers.runpod_secret import PREFIX, kept_secret
from registry.amounts import format_usd
from registry.errors import InputError, ModelyardError, NotFoundError, RefusedError, UnavailableError
from serving.targets.runpod.pods import PodClient
from serving.targets.waiting import Clock

_ROUNDS = 2
_QUIET_S = 180.0
_WAIT_S = 30.0
_BROKEN = {"ERROR", "EXITED", "TERMINATED"}


class BadHostError(UnavailableError):
    """A pod that never came up: another host may."""


class CeilingError(RefusedError):
    """The launch reached what it may cost, or how long it may take."""


@dataclass(frozen=True)
class Surroundings:
    """What a launcher needs of the world. `proxy` has {pod} and {port} in it; `url` is RunPod's API as pods reach it."""

    client: PodClient
    proxy: str
    url: str
    say: Callable[[str], None]
    clock: Clock = field(default_factory=Clock)
    transport: httpx.BaseTransport | None = None
    pauses: tuple[float, float] = (3.0, 15.0)


class PodLauncher:
    """Launches one training. `meter` says afterwards what it cost, however it ended; `hardware` on what it ran."""

    def __init__(self, launch: RunPodLaunch, surroundings: Surroundings) -> None:
        """Nothing is asked of RunPod yet."""
        self._launch, self._world, self._clock = launch, surroundings, surroundings.clock
        self.meter = Meter(launch.max_usd, launch.max_minutes * 60, self._clock.now)
        self.hardware = ""
        self._deadline = float("inf")

    def run(self, archive: Archive, job: Mapping[str, object], model: Path, take: Callable[[str], None]) -> Archive:
        """Train on the archive's data; what the pod's child prints goes to `take`, its model to the file `model`.

        Raises what says how it ended instead; no pod is left either way.
        """
        quote = quote_pods(self._world.client, self._launch)
        self._world.say(f"quote: {quote}")
        nonce, token = secrets.token_hex(6), SecretStr(secrets.token_urlsafe(32))
        until = self._clock.now() + self._launch.max_minutes * 60 + 3600
        name, say = PREFIX + nonce, self._world.say
        with kept_secret(self._world.client, name, token, until, self._clock, say) as reference:
            placer = self._placer(nonce, reference)
            try:
                return self._on_some_host(
                    placer, quote.candidates, lambda link: self._session(link, archive, job, model, take), token
                )
            finally:
                placer.sweep()

    def _placer(self, nonce: str, token: str) -> PodPlacer:
        env = {
            "MODELYARD_POD_TOKEN": token,
            "MODELYARD_POD_SILENCE_S": f"{self._launch.silence_minutes * 60:.0f}",
            "MODELYARD_RUNPOD_URL": self._world.url,
        }
        if self._launch.key_secret:
            env["MODELYARD_POD_KEY"] = f"{{{{ RUNPOD_SECRET_{self._launch.key_secret} }}}}"
        return PodPlacer(self._world.client, self._launch, self._clock, self.meter, nonce, env, self._world.say)

    def _on_some_host(
        self,
        placer: PodPlacer,
        candidates: tuple[Candidate, ...],
        session: Callable[[PodLink], Archive],
        token: SecretStr,
    ) -> Archive:
        """Try candidate after candidate, and once more those whose host was bad."""
        tried, bad = list(candidates), list[str]()
        for _ in range(_ROUNDS):
            again = list[Candidate]()
            for candidate in tried:
                if self.meter.seconds_left(candidate.usd_per_hour) < LEAST_S:
                    continue
                placed = placer.place(candidate)
                if placed is None:
                    continue
                self.hardware = f"runpod: {candidate.gpu} x {self._launch.gpu_count}"
                try:
                    return self._on_pod(placed, candidate, session, token)
                except BadHostError as error:
                    bad.append(str(error))
                    again.append(candidate)
                    self._world.say(f"{error}; trying another host")
                finally:
                    placer.end(placed)
                if placed.span.until is None:
                    raise self._nowhere(placer, bad)  # it may still cost: no second one beside it
            tried = again
        raise self._nowhere(placer, bad)

    def _on_pod(self, placed: Placed, candidate: Candidate, session: Callable[[PodLink], Archive], token: SecretStr) -> Archive:
        self._world.say(f"pod {placed.pod.id}: {candidate}")
        self._deadline = placed.deadline
        base = self._world.proxy.format(pod=placed.pod.id, port=PORT)
        link = PodLink(base, token, self._clock, self._check, self._world.transport)
        try:
            self._wait(placed, link)
            return session(link)
        except UnavailableError as error:
            if isinstance(error, BadHostError):
                raise
            raise UnavailableError(error.subject, f"{error.expectation}: {self._find_out(placed)}", "train again") from error
        finally:
            link.close()

    def _wait(self, placed: Placed, link: PodLink) -> None:
        """Until the agent itself answers: RUNNING is said long before. Raises BadHostError where it never does."""
        for _ in self._clock.poll(self._launch.start_minutes * 60, *self._world.pauses):
            self._check()
            if self._answers(placed.pod.id, link):
                return
        minutes = self._launch.start_minutes
        raise BadHostError(f"pod {placed.pod.id}", f"did not come up in {minutes:g} minutes", "try another host")

    def _answers(self, number: str, link: PodLink) -> bool:
        """Whether the agent answers and knows whether it can end its pod. Raises BadHostError for a pod that broke."""
        try:
            pod = self._world.client.impatient(_WAIT_S).pod(number)
            if pod.status not in _BROKEN:
                return pod.maps(PORT) and link.follow(0).protected is not None
        except NotFoundError as error:
            raise BadHostError(f"pod {number}", "is gone", "try another host") from error
        except UnavailableError:
            return False
        raise BadHostError(f"pod {number}", f"is {pod.status}", "try another host")

    def _session(
        self, link: PodLink, archive: Archive, job: Mapping[str, object], model: Path, take: Callable[[str], None]
    ) -> Archive:
        link.send(archive)
        link.train(archive, job, self._deadline)
        news = self._follow(link, take)
        if news.state == "failed" or news.model is None:
            raise ModelyardError("training on the pod", news.detail or "left no model", "see what it printed, then train again")
        return link.fetch(news.model, model)

    def _follow(self, link: PodLink, take: Callable[[str], None]) -> News:
        """Hand on each line once, until the training has ended."""
        after, heard, (pause, longest) = 0, self._clock.now(), self._world.pauses
        while True:
            self._check()
            try:
                news = link.follow(after)
            except UnavailableError:
                if self._clock.now() - heard > _QUIET_S:
                    raise
            else:
                heard = self._clock.now()
                for line in news.lines:
                    take(line)
                after += len(news.lines)
                if news.state == "waiting":
                    raise UnavailableError("pod", "started again and lost its training", "train again")
                if news.state != "training" and not news.more:
                    return news
            self._clock.sleep(min(pause, max(self._deadline - self._clock.now(), 0.01)))
            pause = min(pause * 1.5, longest)

    def _check(self) -> None:
        """Raise CeilingError at the deadline, which the cap and the minutes have set."""
        if self._clock.now() >= self._deadline:
            most = f"{format_usd(self._launch.max_usd)} or {self._launch.max_minutes:g} minutes"
            why = f"was ended at {format_usd(self.meter.usd)}, before it would cost or take more than {most}"
            raise CeilingError("training on the pod", why, "raise max_usd or max_minutes, or train less")

    def _find_out(self, placed: Placed) -> str:
        try:
            status = self._world.client.impatient(_WAIT_S).pod(placed.pod.id).status
        except NotFoundError:
            return "it is gone"
        except ModelyardError:
            return "nor does RunPod's API say anything of it"
        return f"RunPod says {status}"

    def _nowhere(self, placer: PodPlacer, bad: list[str]) -> ModelyardError:
        """Why no host trained it."""
        spent = format_usd(self.meter.usd)
        if bad:
            return UnavailableError(
                "launch", f"{len(bad)} hosts never came up ({spent} spent); the last: {bad[-1]}", "name other GPUs"
            )
        if not placer.refusals:
            return CeilingError("launch", f"max_usd and max_minutes leave no time for a pod ({spent} spent)", "raise them")
        last = placer.refusals[-1]
        kind = type(last) if isinstance(last, InputError) else ModelyardError
        return kind(
            "launch",
            f"RunPod has none of {', '.join(self._launch.gpus)} now: {last.expectation}",
            "name more GPUs, or try later",
        )
