"""The HTTP app around one predictor, and the process that serves it.

python -m serving.app --bundle DIR [--host 127.0.0.1] [--port 0]

GET  /health    200 and what is served, once it can answer
POST /predict   an image file as the body → label, probability, probabilities
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from registry.errors import InputError, ModelyardError
from serving.predictor import Predictor, load_predictor

MAX_BYTES = 20_000_000
"""A longer body is refused while it is still arriving."""

log = logging.getLogger("modelyard.serving")


def build_app(predictor: Predictor) -> Starlette:
    """The app for a predictor that is already loaded, so that being healthy means able to answer."""
    index = predictor.bundle.index
    about = {"model": index.model, "version": index.version, "bundle": index.digest}

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", **about})

    async def predict(request: Request) -> Response:
        body = await _body(request)
        if body is None:
            return _problem(413, f"the image is larger than {MAX_BYTES:,} bytes; send a smaller one")
        if not body:
            return _problem(422, "the body is empty; send an image file as the request's body")
        try:
            found = (await run_in_threadpool(predictor.predict, [body]))[0]
        except InputError as error:
            return _problem(422, str(error))
        return JSONResponse(found.model_dump(exclude_none=True) | about)

    return Starlette(routes=[Route("/health", health), Route("/predict", predict, methods=["POST"])])


async def _body(request: Request) -> bytes | None:
    """The request's body, or None as soon as it is too long."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            return None
    return bytes(body)


def _problem(status: int, detail: str) -> JSONResponse:
    """An error as a person and a program can read it."""
    return JSONResponse({"error": detail}, status_code=status)


def main() -> int:
    """Check the bundle, load it, serve it until told to stop."""
    parser = argparse.ArgumentParser(prog="serving.app", description="Serve one bundle over HTTP.")
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    try:
        app = build_app(load_predictor(given.bundle))
    except ModelyardError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    uvicorn.run(app, host=given.host, port=given.port, log_level="warning", access_log=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
