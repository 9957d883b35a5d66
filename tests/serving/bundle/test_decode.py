"""What strangers send is decoded or refused, quickly, and nothing else happens."""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from registry.errors import InputError
from serving.bundle import image_header
from serving.bundle.decode import decode, upright
from serving.bundle.exif import orientation_of
from serving.bundle.image_header import read_header
from serving.bundle.preprocess import Preprocess

sys.path.insert(0, str(Path(__file__).parent))
import image_files
from image_files import CUT_EXIF, chunk, hostile, mutations, picture, rational_exif, saved, segment, with_chunks, with_segments

PHONE = b"\0\0\0\x18ftypmp42" + b"\xff\xda" * 300
"""What a phone writes behind a picture: a film, in which the marker of a scan stands by chance."""


def upright_pixels(image: Image.Image, orientation: int) -> np.ndarray:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = image.copy()
    image.info["exif"] = exif.tobytes()
    return np.asarray(ImageOps.exif_transpose(image))


def test_a_picture_whose_exif_is_cut_is_read_as_it_lies() -> None:
    data = with_chunks(saved(picture(), "PNG"), chunk(b"eXIf", CUT_EXIF))
    assert np.array_equal(np.asarray(decode(data)), np.asarray(picture()))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_whose_exif_pillow_cannot_write_is_read_and_turned(orientation: int) -> None:
    data = with_chunks(saved(picture(), "PNG"), chunk(b"eXIf", rational_exif(orientation)))
    assert np.array_equal(np.asarray(decode(data)), upright_pixels(picture(), orientation))


def test_a_jpeg_with_bytes_behind_its_end_is_read() -> None:
    whole = saved(picture(), progressive=True)
    assert np.array_equal(np.asarray(decode(whole + PHONE)), np.asarray(decode(whole)))
    thumbnail = with_segments(whole, segment(0xE1, b"Exif\0\0" + saved(picture(8, 8))))
    assert np.array_equal(np.asarray(decode(thumbnail)), np.asarray(decode(whole)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 8])
def test_each_kind_of_file_is_turned_as_pillow_turns_it(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(picture(), kind, exif=exif, **options)
    assert np.array_equal(np.asarray(decode(data)), upright_pixels(decode(saved(picture(), kind, **options)), orientation))


def test_the_other_ways_to_write_an_orientation_are_read_too() -> None:
    expected, png = upright_pixels(picture(), 6), saved(picture(), "PNG")
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    digits = rational_exif().hex().encode()
    profile = b"\nexif\n" + b"%8d" % len(digits) + b"\n" + digits
    for chunks in (
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp),
        chunk(b"tEXt", b"Raw profile type exif\0" + profile),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + image_files.zlib.compress(profile)),
    ):
        assert np.array_equal(np.asarray(decode(with_chunks(png, chunks))), expected)
    jpeg = saved(picture())
    turned = decode(with_segments(jpeg, segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)))
    assert np.array_equal(np.asarray(turned), upright_pixels(decode(jpeg), 6))


@settings(max_examples=300)
@given(st.binary(max_size=200), st.binary(max_size=80))
def test_an_orientation_is_one_of_eight_whatever_the_exif_holds(exif: bytes, xmp: bytes) -> None:
    for head in (b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"Exif\0\0MM\0*\0\0\0\x08"):
        assert orientation_of(head + exif, xmp) in range(1, 9)


@pytest.mark.parametrize(("name", "data"), hostile().items(), ids=list(hostile()))
def test_what_costs_more_than_a_picture_is_refused_before_it_costs(name: str, data: bytes, monkeypatch) -> None:
    """Each took a decoder seconds. Time is measured with a wide margin; what is proved is that no decoder was asked."""
    asked = list[str]()
    monkeypatch.setattr(Image, "open", lambda *_, **__: asked.append("Pillow"))
    monkeypatch.setattr("simplejpeg.decode_jpeg", lambda *_, **__: asked.append("libjpeg"))
    began = time.thread_time()
    try:
        header = read_header(data)
    except (InputError, image_header.BrokenImageError):
        header = None
    assert time.thread_time() - began < 0.5
    if header is not None:  # the parts that cost time are left out
        assert len(header.needed(data)) < 20_000, name
    assert asked == []


def test_what_is_refused_names_the_bound() -> None:
    files = hostile()
    for name, message in (
        ("scans", "scans, which is too much work"),
        ("thin", "more than 100 times longer"),
        ("run-length", "run-length encoding"),
        ("cut head", "cannot be decoded"),
    ):
        with pytest.raises(InputError, match=message):
            decode(files[name])
    for name in ("many tags", "text bombs"):
        assert np.array_equal(np.asarray(decode(files[name])), np.asarray(picture()))


@pytest.mark.parametrize("raised", [MemoryError(), SystemError("x"), RecursionError(), KeyError("x"), Warning("x")])
def test_whatever_a_decoder_raises_is_that_picture_s_fault(raised: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    png, jpeg, opened = saved(picture(), "PNG"), saved(picture()), picture()
    monkeypatch.setattr("simplejpeg.decode_jpeg_header", fail)
    monkeypatch.setattr(Image, "open", fail)
    monkeypatch.setattr(opened, "load", fail)
    for ask in (lambda: decode(png), lambda: decode(jpeg), lambda: upright(opened)):
        with pytest.raises(InputError, match="cannot be decoded"):
            ask()


def test_no_warning_of_a_library_is_printed_for_a_picture_bomb() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for side in (9_400, 14_000, 40_000):
            with pytest.raises(InputError, match="more than 64,000,000 pixels"):
                decode(image_files.blank_png(side, side))
    assert caught == []


def test_thousands_of_mutated_files_are_decoded_or_refused_in_one_line() -> None:
    """`make fuzz` runs many more through every server and handler."""
    preprocess, answers = Preprocess(size=32), {"decoded": 0, "refused": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for data in mutations(seed=9, count=1500):
            try:
                assert preprocess.pixels(data).shape == (32, 32, 3)
                answers["decoded"] += 1
            except InputError:
                answers["refused"] += 1
    assert min(answers.values()) > 100, answers
