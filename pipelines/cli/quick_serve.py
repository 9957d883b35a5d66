"""`modelyard serve FOLDER`, recognised without the option parser, whose import takes as long as loading the model.

Whatever is not plainly a bundle's folder with sound options is not recognised here: the option parser of `services.serve`
then explains it. So this file has no message of its own, and a test compares both on the same command lines.
"""

from __future__ import annotations

import math
import os

from pipelines.services.serve import server_words

TYPE_CHECKING = False  # importing `typing` takes 10 ms, for which a cold start's worker would wait
if TYPE_CHECKING:
    from collections.abc import Sequence

SERVE_DEFAULTS: dict[str, object] = {"port": 8080, "host": "127.0.0.1", "workers": 0, "device": "cpu", "max_batch": 8}
SERVE_DEFAULTS |= {"max_wait_ms": 0.0, "queue": 64, "fetch": False, "keys": None, "log_level": "info", "no_key": False}
SERVE_DEFAULTS |= {"json": False}
"""What the server is started with where the command line says nothing else, by the names of `services.serve`."""

DEVICES = ("cpu", "cuda")
LOG_LEVELS = ("debug", "info", "warning", "error")
_BOUNDS = {"port": (0, 65535), "workers": (0, 256), "max_batch": (1, 1024), "max_wait_ms": (0, 1000), "queue": (1, math.inf)}
_DIGITS = 9
_CHOICES = {"device": DEVICES, "log_level": LOG_LEVELS}
_FLAGS = {"--fetch": "fetch", "--no-key": "no_key", "--json": "json"}
_TEXTS = {"--host": "host", "--keys": "keys", "--device": "device", "--log-level": "log_level", "--home": "home"}
_NUMBERS = {"--port": "port", "--workers": "workers", "--max-batch": "max_batch", "--queue": "queue"}
_NUMBERS |= {"--max-wait-ms": "max_wait_ms"}


def serve_options(arguments: Sequence[str]) -> list[str] | None:
    """The server's own command line for `serve FOLDER …`; None for every other command line."""
    if not arguments or arguments[0] != "serve":
        return None
    folders, options = list[str](), dict(SERVE_DEFAULTS)
    words = iter(arguments[1:])
    for word in words:
        if not word.startswith("-"):
            folders.append(word)
            continue
        name, equals, value = word.partition("=")
        if name in _FLAGS and not equals:
            options[_FLAGS[name]] = True
        elif name in _TEXTS or name in _NUMBERS:
            text = value if equals else next(words, "-")
            if text.startswith("-") or not _take(options, name, text):
                return None
        else:
            return None
    if len(folders) != 1 or not os.path.isfile(os.path.join(folders[0], "bundle.json")):  # noqa: PTH113, PTH118 lighter
        return None
    home = options.pop("home", os.environ.get("MODELYARD_HOME"))
    if home is not None and not os.path.isdir(str(home)):  # noqa: PTH112 lighter
        return None  # misspelt; a folder is served without it, and whoever named it is told
    return server_words(folders[0], options)


def _take(options: dict[str, object], name: str, text: str) -> bool:
    """Set an option; False where its value is for the option parser to judge."""
    if name in _TEXTS:
        field = _TEXTS[name]
        options[field] = text
        return bool(text) and text in _CHOICES.get(field, (text,))
    field = _NUMBERS[name]
    if not text.isascii() or not text.isdecimal() or len(text) > _DIGITS:
        return False
    least, most = _BOUNDS[field]
    number = int(text)
    options[field] = float(number) if field == "max_wait_ms" else number
    return least <= number <= most
