"""Runs commands in one process, as `modelyard` would; each line of standard input is one, as a JSON list."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys

from pipelines.cli.main import main

before = dict(os.environ)
for line in sys.stdin:
    out, err, code = io.StringIO(), io.StringIO(), 0
    os.environ.clear()
    os.environ.update(before)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(json.loads(line))
        except SystemExit as leaving:
            code = leaving.code or 0
        except BaseException as error:
            code = f"Traceback: {type(error).__name__}: {error}"
    print("OUTCOME", json.dumps({"code": code, "out": out.getvalue(), "err": err.getvalue()}), flush=True)  # noqa: T201
