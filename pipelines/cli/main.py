"""The command `modelyard`. The one place where errors become text."""

from __future__ import annotations

import json
import signal
import sys
from typing import TYPE_CHECKING

import typer

from pipelines.cli import audit, canary, data, endpoint, job, money, notify, promotion, queries, services, training, views
from registry.errors import ModelyardError, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPILOG = "Start with `modelyard demo`; your own job begins with `modelyard init`."

app = typer.Typer(
    name="modelyard",
    help="From short video clips to a proven, priced, deployed vision model, on stock MLflow.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for group in (job, data, training, promotion, audit, queries, money, views, notify, services, endpoint, canary):
    group.add_to(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with 0, 1 for a refusal or a failed hook, or 2 for what cannot be done."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to stop is Ctrl-C: children end with us
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(given, standalone_mode=False)
    except ModelyardError as error:
        _tell(error, as_json="--json" in given)
        sys.exit(error.exit_code)
    except typer.Exit as leaving:
        sys.exit(leaving.exit_code)
    except KeyboardInterrupt:
        print("modelyard: interrupted; what was finished stays, nothing is half written", file=sys.stderr)
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 the last stop: what is not ours is raised again
        sys.exit(_foreign(error, as_json="--json" in given))
    sys.exit(code if isinstance(code, int) else 0)


def _foreign(error: Exception, *, as_json: bool) -> int:
    """Usage errors of the option parser in our form; a full disk in one line; anything else is a bug and raises."""
    if (words := getattr(error, "format_message", None)) is not None:
        _tell(ModelyardError("command line", shorten(words()), "see `modelyard --help`"), as_json=as_json)
        return 2
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        subject = error.filename or "this machine"
        _tell(ModelyardError(subject, error.strerror.lower(), "mend that and run it again"), as_json=as_json)
        return 2
    raise error


def _tell(error: ModelyardError, *, as_json: bool) -> None:
    """Print an error: a line for people, the same as JSON for machines."""
    if as_json:
        parts = {"error": str(error), "subject": error.subject, "expectation": error.expectation, "remedy": error.remedy}
        print(json.dumps(parts, ensure_ascii=False), flush=True)
    print(f"modelyard: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
