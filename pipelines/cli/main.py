"""The command `modelyard`.

`modelyard serve FOLDER` becomes the server before anything else is imported: whoever types it waits for its first answer. It
is this process where its environment holds no secret that a server does not need, and another one in its place elsewhere.
Every other command line goes to the whole command line in `app`.
"""

from __future__ import annotations

import sys

from pipelines.cli.quick_serve import serve_options

TYPE_CHECKING = False  # importing `typing` takes 10 ms, for which a cold start's worker would wait
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with 0, 1 for a refusal or a failed hook, or 2 for what cannot be done."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = serve_options(given)
    if options is not None:
        from serving.environment import become_server, is_fit_for_a_server

        if not is_fit_for_a_server():
            become_server(options)
        from serving.start import start

        sys.exit(start(options))
    from pipelines.cli.app import run

    run(given)


if __name__ == "__main__":
    main()
