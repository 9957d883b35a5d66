"""What a process that reads strangers' bytes is told of its surroundings: an allow list, so that no secret is among it.

A decoder or a converter that somebody takes over can read its environment. It finds no token, no password and no address of
a database there, whatever they are called. Light: a cold start waits for it, so not even `re` is imported.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # importing `typing` takes 10 ms, for which a cold start's worker would wait
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

_NAMES = {
    *("PWD", "OLDPWD", "SHLVL", "_", "HOSTNAME", "COLORTERM", "NO_COLOR", "LS_COLORS", "EDITOR", "PAGER"),
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP", "COLUMNS"),
    *("LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"),
    *("MODELYARD_DEVICE", "MODELYARD_CACHE"),
}
_FAMILIES = (
    *("LC_", "XDG_", "PYTHON", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "BLIS_", "MALLOC_", "NODE_", "OPENCV_"),
    *("ORT_", "OPENVINO_", "CUDA_", "CUDNN_", "NVIDIA_", "TF_", "XLA_", "KERAS_", "TORCH_", "PYTORCH_"),
)
_SERVER = ("MODELYARD_API_KEY",)
"""What a server of ours reads besides: the key that its clients have to show."""
_SECRETS = ("KEY", "TOKEN", "SECRET", "PASS", "CREDENTIAL", "AUTH")


def safe_environment(*needed: str, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a process that reads strangers' bytes, with `settings` over it.

    `needed` names what it has to know besides, such as the key that a server asks its clients for.
    """
    allowed = {name: value for name, value in os.environ.items() if name in needed or _is_harmless(name, value)}
    return allowed | dict(settings or {})


def server_environment() -> dict[str, str]:
    """The environment of a server of ours, which reads strangers' requests."""
    return safe_environment(*_SERVER)


def is_fit_for_a_server() -> bool:
    """Whether nothing in this process's environment may be a secret that a server of ours does not need.

    What a shell sets besides is no reason to start another interpreter, for which a first answer would wait 20 ms longer:
    the processes that decode get the allow list in any case.
    """
    needed = server_environment()
    return not any(_may_be_secret(name, value) for name, value in os.environ.items() if name not in needed)


def _may_be_secret(name: str, value: str) -> bool:
    """Whether a variable is called like a secret, holds a login, or is a setting of ours that is not a folder's name."""
    called = any(word in name.upper() for word in _SECRETS)
    ours = name.startswith("MODELYARD_") and name not in {"MODELYARD_HOME", "MODELYARD_BUNDLE_DIR"}
    return called or ours or ("://" in value and "@" in value)


def become_server(options: Sequence[str]) -> NoReturn:
    """Become the server that these options describe. What else is in our environment ends with us."""
    words = [sys.executable, "-P", "-m", "serving.start", *options]
    os.execve(words[0], words, server_environment())  # noqa: S606 no shell is wanted: our own interpreter takes this process over


def _is_harmless(name: str, value: str) -> bool:
    """Whether a variable is one that runtimes read, and holds no login, as the address of a proxy may."""
    if name not in _NAMES and not (name.startswith(_FAMILIES) and not any(word in name for word in _SECRETS)):
        return False
    return not ("://" in value and "@" in value)
