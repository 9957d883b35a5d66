"""Image files as text: every encoder's base64 is read, and a text that is none is refused."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import InputError
from serving.inference.standalone import image_of
from serving.inference.texts import decode_base64, file_of_text
from serving.server.images import image_bytes


def lines(text: str, width: int, end: str) -> str:
    """The text in lines, as `base64`, MIME and PEM write it."""
    return "".join(text[at : at + width] + end for at in range(0, len(text), width))


WRITTEN = st.sampled_from(["plain", "unpadded", "urlsafe", "urlsafe unpadded", "lines", "windows lines", "mime", "spaces"])


def written(data: bytes, way: str) -> str:
    """Base64 as this kind of encoder writes it."""
    plain, safe = base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode()
    ways = {
        "plain": plain, "unpadded": plain.rstrip("="), "urlsafe": safe, "urlsafe unpadded": safe.rstrip("="),
        "lines": lines(plain, 76, "\n"), "windows lines": lines(plain, 64, "\r\n"),
        "mime": base64.encodebytes(data).decode(), "spaces": f" {plain}\t\n",
    }  # fmt: skip
    return ways[way]


@given(st.binary(min_size=1, max_size=400), WRITTEN, st.sampled_from(["", "data:image/png;base64,", "DATA:;charset=x;BASE64,"]))
def test_whatever_an_encoder_writes_is_read_by_every_way_in(data: bytes, way: str, prefix: str) -> None:
    text = prefix + written(data, way)
    assert file_of_text(text) == data
    assert image_of(text) == data
    assert asyncio.run(image_bytes(text, None)) == data


@given(st.binary(min_size=1, max_size=200))
def test_a_data_url_may_be_percent_encoded(data: bytes) -> None:
    assert file_of_text("data:image/png;base64," + quote(base64.b64encode(data).decode(), safe="")) == data
    assert file_of_text("data:image/png," + quote(data)) == data


_LETTERS = re.compile(r"[A-Za-z0-9+/_\-=\s]*", re.ASCII)


@given(st.text(min_size=1, max_size=60) | st.text("AZaz09+/-_= \n", min_size=1, max_size=40))
def test_no_other_text_is(text: str) -> None:
    """Against a plain model: letters of one alphabet, at most two paddings at the end, a length that means whole bytes."""
    plain = re.sub(r"[ \t\r\n\f\v]", "", text)
    bare = plain.rstrip("=")
    padding = len(plain) - len(bare)
    sound = _LETTERS.fullmatch(text) is not None and "=" not in bare and len(bare) % 4 != 1 and bool(bare)
    sound = sound and not (re.search("[-_]", bare) and re.search("[+/]", bare))
    sound = sound and (padding == 0 or (padding <= 2 and len(plain) % 4 == 0))
    try:
        data = file_of_text(text)
    except InputError:
        assert not sound
    else:
        assert sound
        standard = bare.replace("-", "+").replace("_", "/")
        assert data == binascii.a2b_base64(standard + "=" * (-len(bare) % 4))


@pytest.mark.parametrize("text", ["%%", "AAA=AAAA", "AAAA====", "AAAAA", "+-AA", "ä" * 8, "AA\0A", "data:x", "=", " "])
def test_what_is_no_base64_is_one_line(text: str) -> None:
    with pytest.raises(InputError, match=r"image 3: (is neither base64|is empty|is a data URL without)"):
        file_of_text(text, "image 3")


def test_a_text_of_twenty_megabytes_is_read_in_a_moment() -> None:
    import time

    text, began = lines("QUJD" * 5_000_000, 76, "\n").encode(), time.thread_time()
    assert len(decode_base64(text)) == 15_000_000
    assert time.thread_time() - began < 2
