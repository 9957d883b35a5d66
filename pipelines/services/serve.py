"""Serving a bundle in the foreground: what a worker image runs, on this machine."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # importing `typing` takes 10 ms, for which a cold start's worker would wait
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import NoReturn

    from pipelines.home import Home


def bundle_folder(open_home: Callable[[], Home], bundle_or_ref: str) -> Path:
    """A bundle's folder: one that is named, which asks no home, or the last one of a version that is."""
    from pathlib import Path

    from registry.errors import InputError
    from registry.refs import parse_ref

    if (Path(bundle_or_ref) / "bundle.json").is_file():
        return Path(bundle_or_ref)
    try:
        ref = parse_ref(bundle_or_ref)
    except InputError as error:
        remedy = "give a folder that `modelyard export --to` made, NAME/VERSION or NAME@production"
        raise InputError(bundle_or_ref, "is neither a bundle nor a reference", remedy) from error
    from pipelines.queries.predict import last_bundle

    home = open_home()
    return last_bundle(home.store(), home.ledger(), ref)[1].folder


def serve(folder: Path, options: Mapping[str, object]) -> NoReturn:
    """Become the server: `python -m serving.start` with these options; None leaves one out, True names it alone."""
    from serving.environment import become_server

    become_server(server_words(str(folder), options))


def server_words(folder: str, options: Mapping[str, object]) -> list[str]:
    """The command line of `serving.start`; None leaves an option out, True names it alone."""
    words = ["--bundle", os.path.join(os.getcwd(), folder)]  # noqa: PTH109, PTH118 no import before the server's own
    for name, value in options.items():
        if value is not None and value is not False:
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return words
