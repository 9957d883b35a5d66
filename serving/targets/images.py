"""Whether a container image is in its registry, and for which machines: by the registry's HTTP API, nothing is pulled."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from registry.errors import DeniedError, InputError, NotFoundError, UnavailableError
from serving.targets.waiting import tls

WANTED = "linux/amd64"
"""What the machines of both clouds are."""
_HUB = "registry-1.docker.io"
_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_TIMEOUT_S = 15.0
_MOST_BYTES = 4_000_000
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_LOCAL = re.compile(r"^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$")


@dataclass(frozen=True)
class ImageReference:
    """An image's name as Docker reads it: registry, repository, and a tag or digest."""

    registry: str
    repository: str
    version: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `docker.io/you/image:tag`, `you/image@sha256:…`, `image`. Raises InputError for what is none."""
        name, _, digest = text.partition("@")
        head, slash, rest = name.partition("/")
        named = bool(slash) and ("." in head or ":" in head or head == "localhost")
        registry, path = (head, rest) if named else ("docker.io", name)
        path, colon, tag = path.partition(":")
        if not re.fullmatch(r"[a-z0-9]+([._/-]+[a-z0-9]+)*", path) or (colon and not re.fullmatch(r"[\w][\w.-]{0,127}", tag)):
            raise InputError(f"image '{text}'", "is no image's name", "write it as docker.io/you/image:tag")
        if registry in {"docker.io", "index.docker.io"}:
            registry, path = _HUB, path if "/" in path else f"library/{path}"
        return cls(registry, path, digest or tag or "latest")

    @property
    def address(self) -> str:
        """Where the registry's API shows it; a registry on this machine speaks HTTP, as Docker has it."""
        return f"{'http' if _LOCAL.match(self.registry) else 'https'}://{self.registry}/v2/{self.repository}"


def image_platforms(text: str) -> list[str]:
    """The platforms of an image, such as linux/amd64.

    Raises NotFoundError for one that is not there, DeniedError where its registry wants a login, UnavailableError where the
    registry cannot be reached.
    """
    image = ImageReference.parse(text)
    with httpx.Client(timeout=_TIMEOUT_S, follow_redirects=True, verify=tls()) as http:
        registry = _Registry(http, image)
        manifest = registry.read(f"manifests/{image.version}", ", ".join(_TYPES))
        if isinstance(manifest.get("manifests"), list):
            platforms = [item.get("platform") or {} for item in manifest["manifests"]]
            known = [f"{each.get('os')}/{each.get('architecture')}" for each in platforms]
            return sorted({name for name in known if "unknown" not in name})
        config = manifest.get("config") or {}
        described = registry.read(f"blobs/{config.get('digest')}", str(config.get("mediaType") or "*/*"))
        return [f"{described.get('os', 'linux')}/{described.get('architecture')}"]


def check_image(text: str) -> str:
    """One line about an image that the clouds can run. Raises InputError for one that is built for other machines only."""
    platforms = image_platforms(text)
    if WANTED not in platforms:
        remedy = f"build it with `docker build --platform {WANTED}`"
        raise InputError(
            f"image {text}", f"is for {', '.join(platforms) or 'no platform'}, and the machines are {WANTED}", remedy
        )
    pinned = "" if "@" in text else "; by a tag, which may point elsewhere tomorrow"
    return f"{text} is in its registry, for {', '.join(platforms)}{pinned}"


@dataclass
class _Registry:
    """Requests about one repository, anonymous: with the token that a registry gives to anybody who asks."""

    http: httpx.Client
    image: ImageReference
    token: str = ""

    def read(self, path: str, accepts: str) -> dict[str, Any]:
        answer = self._get(path, accepts)
        if answer.status_code == httpx.codes.UNAUTHORIZED and not self.token:
            self.token = self._new_token(answer.headers.get("WWW-Authenticate", ""))
            answer = self._get(path, accepts)
        name = f"image {self.image.registry}/{self.image.repository}:{self.image.version}"
        if answer.status_code in {401, 403}:
            raise DeniedError(name, "cannot be read without a login", "store it at RunPod and name it in `registry`")
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise NotFoundError(name, "is not in its registry", "push it, or fix `image`")
        if not answer.is_success or len(answer.content) > _MOST_BYTES:
            raise UnavailableError(self.image.registry, f"answered with {answer.status_code}", "try again later")
        try:
            return dict(answer.json())
        except (ValueError, TypeError) as error:
            raise UnavailableError(self.image.registry, "answered with what is no manifest", "try again later") from error

    def _get(self, path: str, accepts: str) -> httpx.Response:
        headers = {"Accept": accepts} | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        return self._ask(f"{self.image.address}/{path}", headers)

    def _new_token(self, challenge: str) -> str:
        """What the registry's own token service gives to strangers; "" where it has none."""
        fields = dict(_CHALLENGE.findall(challenge))
        realm = urlsplit(fields.get("realm", ""))
        if not challenge.lower().startswith("bearer") or realm.scheme not in {"https", "http"}:
            return ""
        scope = f"repository:{self.image.repository}:pull"
        answer = self._ask(fields["realm"], {}, {"service": fields.get("service", ""), "scope": scope})
        try:
            given = answer.json() if answer.is_success else {}
        except ValueError:
            return ""
        return str(given.get("token") or given.get("access_token") or "")

    def _ask(self, address: str, headers: dict[str, str], params: dict[str, str] | None = None) -> httpx.Response:
        try:
            return self.http.get(address, headers=headers, params=params)
        except httpx.HTTPError as error:
            why = f"cannot be reached from here ({type(error).__name__})"
            raise UnavailableError(f"registry {self.image.registry}", why, "the image was not looked at") from error
