"""Every command of `modelyard`, and the one place where errors become text."""

from __future__ import annotations

import io
import json
import re
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli import (
    audit,
    canary,
    curve,
    data,
    endpoint,
    job,
    live,
    money,
    notify,
    promotion,
    queries,
    scoring,
    services,
    training,
    views,
    web,
)
from pipelines.cli.dataset import capture
from pipelines.cli.dataset import group as dataset
from registry.errors import ModelyardError, missing_extra, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNKNOWN_COMMAND = re.compile(r"No such command '(?P<name>.+?)'\.(?: Did you mean (?P<near>.+)\?)?$", re.DOTALL)
_ROOMS = ("registry", "validation", "serving", "pipelines", "dashboards")
_EPILOG = "Start with `modelyard demo`; your own job begins with `modelyard init`."

app = typer.Typer(
    name="modelyard",
    help="From short video clips to a proven, priced, deployed vision model, on stock MLflow.",
    epilog=_EPILOG,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _root(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False,
) -> None:
    if version:
        from importlib.metadata import version as version_of

        print(f"modelyard {version_of('modelyard')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit


for group in (
    job,
    capture,
    data,
    dataset,
    training,
    curve,
    promotion,
    audit,
    queries,
    scoring,
    live,
    money,
    views,
    web,
    notify,
    services,
    endpoint,
    canary,
):
    group.add_to(app)


def run(given: Sequence[str]) -> None:
    """Run a command line and exit with 0, 1 for a refusal or a failed hook, or 2 for what cannot be done."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may lack a class's letters
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to stop is Ctrl-C: children end with us
    try:
        code = app(list(given), standalone_mode=False, prog_name="modelyard")
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
    if type(error).__name__ == "NoArgsIsHelpError":  # a group of commands by itself, such as `modelyard budget`
        print(str(error))
        return 0
    if (message := getattr(error, "format_message", None)) is not None:
        _tell(_usage_error(error, message()), as_json=as_json)
        return 2
    if isinstance(error, ModuleNotFoundError) and error.name:
        absent = missing_extra(error.name, "this command")
        if "modelyard" in absent.remedy and not error.name.startswith(_ROOMS):  # another module's absence is a bug
            _tell(absent, as_json=as_json)
            return absent.exit_code
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        subject = error.filename or "this machine"
        _tell(ModelyardError(subject, error.strerror.lower(), "fix that and run it again"), as_json=as_json)
        return 2
    raise error


def _usage_error(error: Exception, message: str) -> ModelyardError:
    """What the option parser does not understand; a mistyped command or option with those that are spelled alike."""
    if hasattr(error, "possibilities"):  # an unknown option; one without its value has a sentence of its own
        subject, near = f"option '{getattr(error, 'option_name', '')}'", sorted(getattr(error, "possibilities", None) or ())
    elif unknown := _UNKNOWN_COMMAND.match(message):
        subject, near = f"command '{unknown['name']}'", re.findall(r"'([^']+)'", unknown["near"] or "")
    else:
        return ModelyardError("command line", shorten(message).rstrip("."), "see `modelyard --help`")
    remedy = f"did you mean {' or '.join(near)}?" if near else "see `modelyard --help`"
    return ModelyardError(subject, "does not exist", remedy)


def _tell(error: ModelyardError, *, as_json: bool) -> None:
    """Print an error: a line for people, the same as JSON for machines."""
    if as_json:
        parts = {"error": str(error), "subject": error.subject, "expectation": error.expectation, "remedy": error.remedy}
        print(json.dumps(parts, ensure_ascii=False), flush=True)
    print(f"modelyard: {error}", file=sys.stderr, flush=True)
