"""Downloading a bundle: a remote worker gets a URL and a digest, and accepts only the bundle with that digest.

    <address>/bundle.json    the index, whose digest must be the requested one
    <address>/<file>         each file that serving reads, checked against its digest in the index

Any static file host will do. Light: a cold start waits for it.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from registry.backoff import wait_s
from registry.digests import digest_of, sha256_bytes
from registry.errors import InputError, IntegrityError, UnavailableError, shorten
from serving.bundle.checked import INDEX, NEEDED, SIGNATURE

_MOST_BYTES = 2_000_000_000
_TRIES = 4
_TIMEOUT_S = 60.0


class _RedirectHandler(HTTPRedirectHandler):
    """Follows redirects to another host without sending the token there."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        """The next request."""
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and urlsplit(newurl).netloc != urlsplit(req.full_url).netloc:
            request.remove_header("Authorization")
        return request


def pull(address: str, digest: str, into: Path, token: str = "") -> Path:
    """Download the bundle with that digest into `into`, unless it is there already; returns the folder.

    Raises InputError for a URL that is not http(s), IntegrityError for other bytes, UnavailableError if the host does not
    answer. `into` is complete or does not exist.
    """
    if urlsplit(address).scheme not in {"http", "https"}:
        raise InputError("bundle's address", f"'{shorten(address, 80)}' is not an http(s) URL", "set MODELYARD_BUNDLE_URL")
    if (into / INDEX).is_file():
        return into
    raw = _get(f"{address.rstrip('/')}/{INDEX}", token)
    try:
        files: dict[str, str] = dict(json.loads(raw)["files"])
        actual = digest_of(files)
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(address, "does not hold a bundle's index", "publish the bundle again") from error
    if actual != digest:
        raise IntegrityError(address, f"holds bundle {actual[:12]} and not {digest[:12]}", "publish the bundle again")
    partial = into.with_name(f".{into.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)  # a container's process always has the same number
    partial.mkdir(parents=True)
    names = sorted(name for name in files if name in NEEDED)
    try:
        with ThreadPoolExecutor(4) as pool:
            parts = list(pool.map(lambda name: _get(f"{address.rstrip('/')}/{quote(name)}", token), names))
        for name, data in zip(names, parts, strict=True):
            if sha256_bytes(data) != files[name]:
                raise IntegrityError(f"{address}/{name}", "is not the file that the bundle was sealed with", "publish it again")
            (partial / PurePosixPath(name)).write_bytes(data)
        if signed := _get(f"{address.rstrip('/')}/{SIGNATURE}", token, may_lack=True):
            (partial / SIGNATURE).write_bytes(signed)
        (partial / INDEX).write_bytes(raw)
        partial.rename(into)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return into


def _get(address: str, token: str, *, may_lack: bool = False) -> bytes:
    headers = {"User-Agent": "modelyard"} | ({"Authorization": f"Bearer {token}"} if token else {})
    for tried in range(1, _TRIES + 1):
        try:
            with build_opener(_RedirectHandler).open(Request(address, headers=headers), timeout=_TIMEOUT_S) as answer:  # noqa: S310
                data = answer.read(_MOST_BYTES + 1)
        except HTTPError as error:
            if may_lack and error.code == http.client.NOT_FOUND:
                return b""
            if error.code not in {408, 425, 429, 500, 502, 503, 504} or tried == _TRIES:
                raise UnavailableError(address, f"answered with {error.code}", "check the URL and the token") from error
        except (URLError, http.client.HTTPException, OSError) as error:
            if tried == _TRIES:
                raise UnavailableError(address, f"cannot be downloaded ({type(error).__name__})", "try again later") from error
        else:
            if len(data) > _MOST_BYTES:
                raise IntegrityError(address, "is larger than 2 GB", "publish another bundle")
            return data
        time.sleep(wait_s(tried, first=1.0))
    raise AssertionError
