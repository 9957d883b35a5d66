"""The entry point of the HTTP worker's container: locate or download the bundle, then become the server.

MODELYARD_BUNDLE_DIR        a bundle in the image, or a mounted one, e.g. /repository at Hugging Face; or
MODELYARD_BUNDLE_URL        where to download it from
MODELYARD_BUNDLE            the digest that it must have: required with a URL, and checked in a folder where it is set
MODELYARD_BUNDLE_TOKEN      for the URL, where it needs one
MODELYARD_KEYS              a folder of *.pub in the image: the bundle has to be signed by one of them
MODELYARD_DEVICE            cpu (default) or cuda
MODELYARD_API_KEY           what clients have to show: needed unless the next one is set
MODELYARD_NO_KEY            1 where a provider's gateway in front asks for its own key, as our deployments say
PORT                        default 8000
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from registry.errors import InputError, ModelyardError
from serving.bundle.checked import check_named
from serving.bundle.download import pull
from serving.environment import become_server
from serving.starting import waiting

_REPOSITORY = Path("/repository")
_HOST = "0.0.0.0"  # noqa: S104 a container's port is reached from outside
_SCRATCH = Path(tempfile.gettempdir()) / "modelyard"


def bundle_dir() -> Path:
    """The bundle's folder, from the environment. Raises IntegrityError if it holds another bundle."""
    folder = _found()
    check_named(folder, os.environ.get("MODELYARD_BUNDLE", ""))
    return folder


def keys_dir() -> Path | None:
    """The folder of trusted keys, where the environment names one."""
    folder = os.environ.get("MODELYARD_KEYS")
    return Path(folder) if folder else None


def _found() -> Path:
    environment = os.environ
    if folder := environment.get("MODELYARD_BUNDLE_DIR"):
        return Path(folder)
    if address := environment.get("MODELYARD_BUNDLE_URL"):
        if not (digest := environment.get("MODELYARD_BUNDLE")):
            raise InputError("MODELYARD_BUNDLE", "is not set", "set it to the digest of the bundle to download")
        _SCRATCH.mkdir(parents=True, exist_ok=True)
        return pull(address, digest, _SCRATCH / digest, environment.get("MODELYARD_BUNDLE_TOKEN", ""))
    if _REPOSITORY.is_dir():
        return _REPOSITORY
    raise InputError("MODELYARD_BUNDLE_URL", "is not set, and nothing is mounted at /repository", "set it and MODELYARD_BUNDLE")


def main() -> int:
    """Become the server; an exit code where that cannot be. While a bundle is downloaded its port says that it starts."""
    try:
        become_server(_listening() if _downloads() else [*_options(bundle_dir()), "--host", _HOST, "--port", _port()])
    except ModelyardError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except OSError as error:
        subject, why = error.filename or "the bundle", f"cannot be read or written ({error.strerror or type(error).__name__})"
        print(ModelyardError(subject, why, "let this container's user do it"), file=sys.stderr)
        return ModelyardError.exit_code


def _downloads() -> bool:
    """Whether the bundle has to be downloaded."""
    return bool(os.environ.get("MODELYARD_BUNDLE_URL")) and not os.environ.get("MODELYARD_BUNDLE_DIR")


def _listening() -> list[str]:
    """The command line of a server that takes this process's port over, which says until then that it starts."""
    with waiting(_HOST, int(_port())) as listening:
        options = _options(bundle_dir())
    listening.set_inheritable(True)
    return [*options, "--fd", str(listening.detach())]


def _port() -> str:
    """Where the server listens. Raises InputError for what is no port."""
    port = os.environ.get("PORT", "8000")
    if not port.isdecimal() or not 0 < int(port) < 65_536:  # noqa: PLR2004 ports have 16 bits
        raise InputError("PORT", f"'{port}' is no port", "set it to a number from 1 to 65535")
    return port


def _options(folder: Path) -> list[str]:
    """The server's command line."""
    options = ["--bundle", str(folder), "--pulled", "--device", os.environ.get("MODELYARD_DEVICE", "cpu")]
    if (keys := keys_dir()) is not None:
        options += ["--keys", str(keys)]
    if os.environ.get("MODELYARD_NO_KEY") == "1":
        options.append("--no-key")
    return options + sys.argv[1:]


if __name__ == "__main__":
    sys.exit(main())
