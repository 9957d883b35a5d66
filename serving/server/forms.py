"""The file in a form. A parser of one kind of form: it looks for a file's bytes and walks over nothing byte by byte."""

from __future__ import annotations

import re

from starlette.requests import Request

from registry.errors import InputError

_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,70})"|([^;,\s]{1,70}))', re.IGNORECASE)
_FILE = re.compile(rb"^content-disposition:[^\r\n]*;\s*filename\*?=", re.IGNORECASE | re.MULTILINE)
_MOST_PARTS, _MOST_HEAD = 17, 8_192


async def file_of(request: Request) -> bytes:
    """The file in a form. Raises InputError for a form without a file, or one that is cut off."""
    return file_in_form(await request.body(), request.headers.get("content-type", ""))


def file_in_form(body: bytes, content_type: str) -> bytes:
    """The bytes of the first part that has a file name (RFC 7578). Raises InputError."""
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise InputError("form", "cannot be read (its content type has no boundary)", "send one file in it")
    delimiter = b"--" + (match[1] or match[2]).encode("latin-1", "replace")
    at = 0 if body.startswith(delimiter) else body.find(b"\r\n" + delimiter) + 2
    for _ in range(_MOST_PARTS):
        at += len(delimiter)
        if not body.startswith(delimiter, at - len(delimiter)) or body.startswith(b"--", at):
            break
        head = body.find(b"\r\n\r\n", at, at + _MOST_HEAD)
        end = body.find(b"\r\n" + delimiter, head + 2) if head >= 0 else -1
        if end < 0:
            raise InputError("form", "cannot be read (it is cut off)", "send one file in it")
        if _FILE.search(body[at + 2 : head]):
            return body[head + 4 : end]
        at = end + 2
    raise InputError("form", "holds no file", "send one with `curl -F file=@image.jpg`")
