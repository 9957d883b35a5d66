"""The process that serves one bundle over HTTP.

python -m serving.start --bundle DIR [--host 127.0.0.1] [--port 0] …

The first worker is started, and the address taken, before this process imports its own half: both halves load at
once, and early requests wait. Secrets come from the environment: MODELYARD_API_KEY.
"""

from __future__ import annotations

import sys

from serving.workers.spawn import spawn


def start(words: list[str] | None = None) -> int:
    """Check the bundle, load it, and serve it until stopped. `words`: the options; None for this process's own."""
    first = spawn()
    from registry.errors import ModelyardError  # the imports that the worker need not wait for
    from serving.server.exposure import key_of_environment, keyed
    from serving.server.options import adopt, arguments, cores, listen
    from serving.workers.messages import pack_load

    options = arguments(words)
    first.socket.sendall(pack_load(str(options.bundle), options.threads, options.device))
    options.workers = options.workers or (1 if options.device == "cuda" else cores())
    try:
        exposure = keyed(key_of_environment(), no_key=options.no_key)
        given = options.fd is not None
        listening = adopt(options.fd, exposure) if given else listen(options.host, options.port, exposure)
    except ModelyardError as error:
        print(error, file=sys.stderr)
        first.socket.close()
        first.kill()
        return error.exit_code
    from serving.server.http import serve

    return serve(options, first, listening)


if __name__ == "__main__":
    sys.exit(start())
