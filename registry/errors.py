"""Every error a user can meet, in one tree.

    ModelyardError            one line: subject, what was expected, how to fix it
    ├── InputError            what the user gave cannot be used
    │   ├── NotFoundError     a reference, model, version or file that does not exist
    │   │   └── MissingFileError  a state file that is not there (also a FileNotFoundError)
    │   └── DeniedError       a provider does not accept our key: not set, not valid, or not allowed to do this
    │       └── MissingKeyError   it is not set in this process: nobody was asked, and another process may have it
    ├── UnavailableError      a server or tool that the command needs does not answer
    │   └── WaitingError      a provider that failed lately is not asked again yet: nothing was tried
    ├── StorageError          bytes could not be written; nothing half written was left
    ├── IntegrityError        bytes are not the ones that were recorded
    │   └── DamagedFileError  a state file cannot be read as what it is (also a ValueError)
    ├── BusyError             another process works on the same model now
    └── RefusedError          a gate refused (exit code 1: the question was fine, the answer is no)

Foreign exceptions are turned into one of these at the border where they arise, with `from`. They
become text in one place only, the command line's `main`.
"""

from __future__ import annotations

import re

_LONGEST = 400


def shorten(text: object, longest: int = _LONGEST) -> str:
    """The text on one line, cut to `longest` characters, so that a message stays a line."""
    line = " ".join(str(text).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def describe(error: BaseException) -> str:
    """An error on one line; one of anybody else's code with its type."""
    return str(error) if isinstance(error, ModelyardError) else f"{type(error).__name__}: {shorten(error)}"


class ModelyardError(Exception):
    """An error with a subject, the expectation that was not met, and a remedy."""

    exit_code = 2

    def __init__(self, subject: object, expectation: str, remedy: str) -> None:
        """Keep the three parts apart, so that `--json` can give them apart."""
        self.subject = shorten(subject)
        self.expectation = shorten(expectation)
        self.remedy = shorten(remedy)
        super().__init__(f"{self.subject}: {self.expectation}; {self.remedy}")


class InputError(ModelyardError):
    """What the user gave cannot be used."""


class NotFoundError(InputError):
    """Something that the user named does not exist."""


class MissingFileError(NotFoundError, FileNotFoundError):
    """A state file is not there: for many callers an answer, which they ask for as FileNotFoundError."""


class DeniedError(InputError):
    """A provider does not accept our key: it is not set, not valid, or may not do this."""


class MissingKeyError(DeniedError):
    """A key is not set in this process: nothing was tried, and nothing failed. Another process may have it."""


class UnavailableError(ModelyardError):
    """A server or a tool that the command needs does not answer."""


class WaitingError(UnavailableError):
    """A provider that failed lately is not asked again before its wait is over: nothing was tried."""


class StorageError(ModelyardError):
    """Bytes could not be written."""


class IntegrityError(ModelyardError):
    """Bytes are not the ones that were recorded."""


class DamagedFileError(IntegrityError, ValueError):
    """A state file is empty, cut, garbage, of the wrong shape, no file at all, or may not be read."""


class BusyError(ModelyardError):
    """Another process works on the same model now."""


class RefusedError(ModelyardError):
    """A gate refused."""

    exit_code = 1


def missing_extra(module: str, subject: object) -> UnavailableError:
    """The error for a package that cannot be imported: which of our extras brings it, read from our own metadata.

    A package that we always need is missing only where the installation is damaged; one that we do not name is itself the
    remedy.
    """
    package = re.sub(r"[-_.]+", "-", module.partition(".")[0]).lower()
    extras = _extras_by_package().get(package)
    wanted = package if extras is None else f"modelyard[{extras[0]}]" if extras[0] else "--force-reinstall modelyard"
    quoted = f"'{wanted}'" if "[" in wanted else wanted
    return UnavailableError(subject, f"{package} is not installed", f"run `pip install {quoted}`")


def _extras_by_package() -> dict[str, list[str]]:
    """Package → our extras that bring it, the one that brings least first; "" stands for what is always installed."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        lines = requires("modelyard") or []
    except PackageNotFoundError:  # run from a source tree that was never installed
        lines = []
    pattern = re.compile(r"^([\w.-]+)(?:\[[^\]]*\])?[^;]*(?:;.*extra\s*==\s*['\"]([\w-]+)['\"])?")
    pairs = [(re.sub(r"[-_.]+", "-", match[1]).lower(), match[2] or "") for match in map(pattern.match, lines) if match]
    size = {extra: sum(extra == other for _, other in pairs) for _, extra in pairs} | {"": 0}
    brings: dict[str, list[str]] = {}
    for package, extra in pairs:
        brings.setdefault(package, []).append(extra)
    return {package: sorted(extras, key=lambda extra: (size[extra], extra)) for package, extras in brings.items()}


def share_in_words(share: float) -> str:
    """A share in per cent; one that is not nought never reads as `0%`."""
    return f"{share:.0%}" if share == 0 or share >= 0.01 else f"{max(share, 0.001):.1%}"  # noqa: PLR2004 one per cent
