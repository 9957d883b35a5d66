"""Bundles in a model repository at Hugging Face, which workers elsewhere download them from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from registry.errors import InputError
from serving.bundle.bundle import Bundle
from serving.bundle.checked import INDEX, SIGNATURE
from serving.targets.contract import Publication
from serving.targets.huggingface.hub import Files, Hub


@dataclass(frozen=True)
class HubBundleStore:
    """A model repository that workers download bundles from. `secret` names what they read a private one with."""

    hub: Hub
    repository: str
    private: bool = True
    secret: str | None = None

    @property
    def base(self) -> str:
        """The repository's address."""
        return f"{self.hub.url}/{self.repository}"

    def put(self, bundle: Bundle) -> str:
        """The URL of the commit that holds the bundle. Raises InputError, before any upload, if no worker could read it."""
        self.check()
        index = bundle.index
        sha = self.hub.publish(self.repository, bundle_files(bundle), f"{index.model}/{index.version}", private=self.private)
        return f"{self.base}/resolve/{sha}"

    def check(self) -> str:
        """Whether workers will be able to read what is published, and who else."""
        self.check_readable()
        self.hub.check_may_write(self.repository)
        there = "is there" if self.hub.check_may_hold(self.repository, private=self.private) else "will be made"
        readers = f"workers read it with the secret {self.secret}" if self.private else "everybody can read it"
        return f"{self.repository} {there}, {'private' if self.private else 'public'}: {readers}"

    def check_readable(self) -> None:
        """Raise InputError for a private repository without a secret for the workers."""
        if self.private and not self.secret:
            remedy = "keep a token that reads it as a secret there and name that in `bundle_secret`, or write `public: true`"
            raise InputError(f"bundles hf:{self.repository}", "is private, and no worker could read it", remedy)

    def publication(self, bundle: Bundle) -> Publication:
        """What `put` uploads."""
        readers = (
            f"{self.repository.partition('/')[0]}, and workers with the secret '{self.secret}',"
            if self.private
            else "everybody"
        )
        return publication_of(
            bundle, bundle_files(bundle), f"{self.repository} at {self.hub.url}", readers, public=not self.private
        )


def publication_of(bundle: Bundle, files: Files, where: str, readers: str, *, public: bool) -> Publication:
    """What is uploaded of a bundle."""
    sizes = [content.stat().st_size if isinstance(content, Path) else len(content) for content in files.values()]
    what = f"bundle {bundle.index.model}/{bundle.index.version}"
    return Publication(
        what=what, files=len(sizes), megabytes=round(sum(sizes) / 1e6, 3), where=where, public=public, readers=readers
    )


def bundle_files(bundle: Bundle) -> dict[str, bytes | Path]:
    """A bundle's files, and its index and signature."""
    names = [*bundle.index.files, INDEX, *([SIGNATURE] if (bundle.folder / SIGNATURE).exists() else [])]
    return {name: bundle.folder / name for name in names}
