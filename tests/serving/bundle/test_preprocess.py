"""One preprocessing: as torchvision does it, as our JavaScript does it, to the bit."""

from __future__ import annotations

import io
import json
import subprocess
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from registry.errors import InputError
from serving.bundle.decode import decode
from serving.bundle.image_header import MAX_PIXELS
from serving.bundle.preprocess import Preprocess

SIZES = [(64, 64), (128, 128), (100, 60), (60, 100), (641, 479), (33, 200), (200, 33), (20, 20), (65, 64), (1, 1), (1, 90)]


def noise(width: int, height: int) -> Image.Image:
    random = np.random.default_rng([width, height])
    return Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8))


def png(image: Image.Image, **options) -> bytes:
    held = io.BytesIO()
    image.save(held, "PNG", **options)
    return held.getvalue()


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_it_is_torchvisions_resize_and_crop(size: tuple[int, int]) -> None:
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    theirs = Compose([Resize(64, InterpolationMode.BILINEAR), CenterCrop(64)])
    image = noise(*size)
    assert np.array_equal(Preprocess(size=64).fit(image), np.asarray(theirs(image)))


def test_a_plain_squash_is_something_else() -> None:
    """The control: the comparison above can fail."""
    image = noise(100, 60)
    assert not np.array_equal(Preprocess(size=64).fit(image), np.asarray(image.resize((64, 64), Image.Resampling.BILINEAR)))


WAYS = [
    Preprocess(size=64),
    Preprocess(size=64, resize="both sides, bilinear, antialiased"),
    Preprocess(size=64, resize="both sides, bicubic, antialiased"),
    Preprocess(size=56, resize="shortest side, bicubic, antialiased", resized=64),
    Preprocess(size=55, resized=64),
    Preprocess(size=48, resize="both sides, bicubic, antialiased", resized=57),
    Preprocess(size=48, crop="centre, rounded down", resized=57),
]
"""What networks that were trained elsewhere are given: squeezed, by cubic curves, cropped from more."""


@pytest.mark.parametrize("how", WAYS, ids=lambda how: f"{how.resize}, {how.side} to {how.size}")
def test_the_javascript_resize_equals_pillow_to_the_bit(how: Preprocess, tmp_path: Path) -> None:
    from pipelines.bundles.tools import find_node

    cases = []
    for index, (width, height) in enumerate(SIZES):
        image = noise(width, height)
        (tmp_path / f"{index}.rgb").write_bytes(image.tobytes())
        (tmp_path / f"{index}.out").write_bytes(how.fit(image).tobytes())
        cases.append([index, width, height])
    script = tmp_path / "compare.mjs"
    resize = Path(__file__).parents[3] / "serving" / "export" / "resize.mjs"
    script.write_text(
        f"import {{ readFileSync }} from 'node:fs'; import {{ fit }} from '{resize}';"
        f"const answers = {json.dumps(cases)}.map(([i, w, h]) => {{"
        f"  const found = fit(readFileSync(`{tmp_path}/${{i}}.rgb`), w, h, {how.size}, {json.dumps(asdict(how))});"
        f"  return Buffer.compare(Buffer.from(found), readFileSync(`{tmp_path}/${{i}}.out`)); }});"
        "console.log(JSON.stringify(answers));"
    )
    done = subprocess.run([find_node(), str(script)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [0] * len(SIZES)


def test_squeezed_bicubic_and_cropped_from_more_are_torchvisions(tmp_path: Path) -> None:
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    for size in SIZES:
        image = noise(*size)
        for how in WAYS[:-1]:
            mode = InterpolationMode.BICUBIC if how.bicubic else InterpolationMode.BILINEAR
            target = (how.side, how.side) if how.squeezes else how.side
            theirs = Compose([Resize(target, mode), CenterCrop(how.size)])
            assert np.array_equal(how.fit(image), np.asarray(theirs(image))), how


@pytest.mark.parametrize(
    "fields", [{"resized": 32}, {"resized": "70"}, {"resize": "both sides, lanczos"}, {"decode": "reduced", "resized": 70}]
)
def test_what_is_no_way_to_resize_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InputError, match="is not supported here"):
        Preprocess.of({"size": 64} | fields)


def test_a_bundle_from_before_reads_as_it_did() -> None:
    before = {
        "size": 64,
        "layout": "NCHW",
        "resize": "shortest side, bilinear, antialiased",
        "crop": "centre",
        "scale": "1/255",
    }
    assert Preprocess.of(before) == Preprocess(size=64)
    assert Preprocess.of(before).is_plain


def test_the_exif_orientation_is_applied() -> None:
    image = noise(40, 20)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = decode(png(image, exif=exif))
    assert turned.size == (20, 40)
    assert np.array_equal(np.asarray(turned), np.asarray(image.rotate(-90, expand=True)))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_every_kind_of_picture_becomes_rgb(mode: str) -> None:
    held = io.BytesIO()
    noise(40, 40).convert(mode).save(held, "JPEG" if mode == "CMYK" else "PNG")
    assert Preprocess(size=32).pixels(held.getvalue()).shape == (32, 32, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "MPO"])
def test_these_kinds_of_files_are_read(kind: str) -> None:
    """An iPhone's pictures are MPO: JPEGs with another one behind them."""
    held, image = io.BytesIO(), scene(40, 30)
    image.save(held, kind, **({"save_all": True, "append_images": [image]} if kind == "MPO" else {}))
    assert Image.open(io.BytesIO(held.getvalue())).format == kind
    assert decode(held.getvalue()).size == (40, 30)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PPM", "ICO", "PDF", "EPS"])
def test_any_other_kind_is_refused_with_those_that_are_read(kind: str, tmp_path: Path, monkeypatch) -> None:
    """For EPS Pillow would start Ghostscript, whose name is put into the path here."""
    held, ghost = io.BytesIO(), tmp_path / "gs"
    scene(40, 30).save(held, kind)
    ghost.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    ghost.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    with pytest.raises(InputError, match="give a whole JPEG, PNG, WebP or BMP file"):
        decode(held.getvalue())
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("shape", [(), (3,), (4,)], ids=["grey", "colour", "transparent"])
def test_of_sixteen_bits_the_upper_eight_stay(shape: tuple[int, ...]) -> None:
    import cv2

    steps = np.array([0, 255, 256, 30_000, 65_535], np.uint16)
    pixels = np.broadcast_to(steps.reshape(1, 5, *(1 for _ in shape)), (1, 5, *shape))
    picture = np.asarray(decode(cv2.imencode(".png", np.ascontiguousarray(pixels))[1].tobytes()))
    assert picture[0].tolist() == [[value] * 3 for value in (0, 0, 1, 117, 255)]


@pytest.mark.parametrize("data", [b"", b"not an image", png(noise(40, 40))[:200]], ids=["empty", "text", "truncated"])
def test_what_is_no_whole_image_is_one_line(data: bytes) -> None:
    with pytest.raises(InputError, match=r"photo\.jpg: cannot be decoded"):
        decode(data, "photo.jpg")


def test_a_picture_that_is_too_large_is_refused_before_it_is_decoded() -> None:
    held = io.BytesIO()
    Image.new("1", (MAX_PIXELS // 1000 + 1, 1000)).save(held, "PNG")
    assert len(held.getvalue()) < 100_000
    with pytest.raises(InputError, match="more than"):
        decode(held.getvalue())


def test_tensors_are_scaled_and_laid_out_as_recorded() -> None:
    pixels = np.full((2, 8, 8, 3), 255, np.uint8)
    assert Preprocess(size=8).tensor(pixels).shape == (2, 3, 8, 8)
    nhwc = Preprocess(size=8, layout="NHWC").tensor(pixels)
    assert nhwc.shape == (2, 8, 8, 3)
    assert nhwc.dtype == np.float32
    assert nhwc.max() == 1.0


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("saved", [{}, {"progressive": True}, {"subsampling": 0, "quality": 95}, {"quality": 5}])
@pytest.mark.parametrize("orientation", [None, 1, 3, 6, 8, 5])
def test_a_jpeg_is_decoded_to_the_bit_as_pillow_does(mode: str, saved: dict, orientation: int | None) -> None:
    noise = np.random.default_rng(3).integers(0, 255, (23, 31, 3), dtype=np.uint8)
    held = io.BytesIO()
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
        saved = saved | {"exif": exif}
    Image.fromarray(noise).resize((310, 231), Image.Resampling.BICUBIC).convert(mode).save(held, "JPEG", **saved)
    theirs = ImageOps.exif_transpose(Image.open(io.BytesIO(held.getvalue()))).convert("RGB")
    assert np.array_equal(np.asarray(decode(held.getvalue())), np.asarray(theirs))
    assert (theirs.width < theirs.height) == (orientation in {5, 6, 8})


def scene(width: int, height: int) -> Image.Image:
    """Something smooth, as photographs are."""
    across, down = np.meshgrid(np.linspace(0, 6, width), np.linspace(0, 4, height))
    bands = [127 + 120 * np.sin(across * k + down) for k in (1, 2, 3)]
    return Image.fromarray(np.stack(bands, 2).astype(np.uint8))


def jpeg(image: Image.Image, **options) -> bytes:
    held = io.BytesIO()
    image.save(held, "JPEG", quality=92, **options)
    return held.getvalue()


@pytest.mark.parametrize(
    ("size", "decoded"),
    [
        ((640, 480), (320, 240)),
        ((480, 640), (240, 320)),
        ((255, 300), (255, 300)),
        ((256, 301), (128, 151)),
        ((2048, 1024), (256, 128)),
        ((64, 64), (64, 64)),
        ((9000, 130), (9000, 130)),
    ],
)
def test_a_jpeg_at_reduced_scale_keeps_twice_the_pixels_of_the_input(size: tuple[int, int], decoded: tuple[int, int]) -> None:
    assert Preprocess(size=64, decode="reduced").open(jpeg(scene(*size))).size == decoded
    assert Preprocess(size=64).open(jpeg(scene(*size))).size == size
    assert Preprocess(size=64, decode="reduced").open(png(scene(*size))).size == size


def test_a_jpeg_at_reduced_scale_is_turned_upright_and_refused_where_it_is_cut() -> None:
    reduced, exif = Preprocess(size=64, decode="reduced"), Image.Exif()
    exif[0x0112] = 6
    assert reduced.open(jpeg(scene(640, 480), exif=exif)).size == (240, 320)
    with pytest.raises(InputError, match="cannot be decoded"):
        reduced.open(jpeg(scene(640, 480))[:-2000])


def test_decoding_at_reduced_scale_is_near_the_full_one_and_not_the_same() -> None:
    """So a model that was trained with the one is not served with the other: the bundle says which."""
    full, reduced = Preprocess(size=64), Preprocess(size=64, decode="reduced")
    data = jpeg(scene(640, 480))
    apart = np.abs(full.pixels(data).astype(int) - reduced.pixels(data))
    assert 0 < apart.max() <= 6
    with pytest.raises(InputError, match="is not supported here"):
        Preprocess(size=64, resize="longest side, bilinear", crop="none, padded with grey 114", decode="reduced")


def test_training_and_serving_decode_alike(make_bundle, tmp_path: Path) -> None:
    """Through a trainer's way of reading and through the server's worker; the full decode is the control."""
    from serving.bundle.preprocess import stack_pixels
    from serving.inference.runner import Runner
    from serving.workers.messages import Item
    from serving.workers.worker import answer

    bundle, data = make_bundle(tmp_path / "bundle"), jpeg(scene(640, 480))
    (tmp_path / "a.jpg").write_bytes(data)
    reduced = Preprocess(size=32, decode="reduced")
    runner = Runner(bundle.onnx, reduced, fitted=True)
    trained = runner.rows([Image.fromarray(stack_pixels(reduced, [tmp_path / "a.jpg"])[0])])[0]
    served = np.frombuffer(answer(runner, [Item(data)]).rows[0], "<f4")
    assert np.array_equal(trained, served)
    assert not np.array_equal(Runner(bundle.onnx, Preprocess(size=32), fitted=True).answers([data])[0], served)
