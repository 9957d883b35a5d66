"""The images of a release: what they are called, what they are built from, and the lines that build and push them.

Nothing is pulled from a name that somebody else could own: a name begins with the registry and owner that MODELYARD_IMAGES
names, or there is none.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import NamedTuple

from registry.errors import InputError
from registry.settings import read_settings

PLATFORM = "linux/amd64"
"""What RunPod's and Hugging Face's machines are, whatever the machine is that builds."""
_OWNER = re.compile(r"^[a-z0-9]+(?:[._:-][a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+$")


class Image(NamedTuple):
    """One image. `lock` is the Dockerfile's argument LOCK, where it has one; `suffix` tells builds of one name apart."""

    name: str
    dockerfile: str
    lock: str = ""
    suffix: str = ""


IMAGES = {
    "serve": Image("modelyard-serve", "docker/serve.Dockerfile", "serve"),
    "serve-cuda": Image("modelyard-serve", "docker/serve.Dockerfile", "serve-cuda", "-cuda"),
    "queue": Image("modelyard-queue", "docker/runpod-queue.Dockerfile", "serve-runpod"),
    "queue-cuda": Image("modelyard-queue", "docker/runpod-queue.Dockerfile", "serve-runpod-cuda", "-cuda"),
    "train": Image("modelyard-train", "docker/train.Dockerfile"),
}
"""What each is for → how it is made. `.github/workflows/images.yaml` builds the same."""


def image_name(kind: str, owner: str) -> str:
    """An image's full name for this release. `owner` is a registry and what is owned there, such as ghcr.io/you."""
    image = IMAGES[kind]
    return f"{checked_owner(owner)}/{image.name}:{version('modelyard')}{image.suffix}"


def checked_owner(owner: str) -> str:
    """A registry and owner. Raises InputError for what is none."""
    plain = owner.strip().rstrip("/")
    if not _OWNER.match(plain):
        raise InputError("MODELYARD_IMAGES", f"'{owner}' names no registry and owner", "write it as ghcr.io/you, in lower case")
    return plain


def default_image(kind: str) -> str:
    """The name that is used where a job gives none. Raises ValueError, as pydantic wants it, where nothing says whose."""
    owner = read_settings().images
    if not owner:
        message = "is not given, and MODELYARD_IMAGES is not set; give the image that you pushed, or set MODELYARD_IMAGES to "
        raise ValueError(message + "where yours are, e.g. ghcr.io/you (`modelyard images` prints the lines that push them)")
    try:
        return image_name(kind, owner)
    except InputError as error:
        message = f"{error.subject} {error.expectation}; {error.remedy}"
        raise ValueError(message) from error


def docker_lines(owner: str) -> list[str]:
    """The commands that build and push every image, from a source checkout."""
    lines = list[str]()
    for kind, image in IMAGES.items():
        lock = f" --build-arg LOCK={image.lock}" if image.lock else ""
        name = image_name(kind, owner)
        lines += [f"docker build --platform {PLATFORM} -f {image.dockerfile}{lock} -t {name} .", f"docker push {name}"]
    return lines
