"""The browser package computes what Python computes: digests, limits, the network's input, figures, and the shared resize."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path[:0] = [str(Path(__file__).parent)]
from compiled import BROWSER, DIST, ask_node

from registry.digests import digest_of, sha256_bytes
from serving.bundle.preprocess import Preprocess
from serving.bundle.variants import KNOWN
from serving.export.parity import compare


def test_the_digest_of_an_index_is_pythons(tmp_path: Path) -> None:
    """Python sorts by code point, JavaScript by UTF-16 unit: U+FF5E and an emoji change places."""
    names = ["b", "a", "tfjs/é", "\uff5e", "\U0001f40d", 'quote"', "back\\slash", "tab\t", "\x7f", "line\u2028", "B", ""]
    manifests = [{name: sha256_bytes(name.encode()) for name in names[:count]} for count in range(len(names) + 1)]
    script = "const { digestOf } = await import(`${DIST}/digest.js`);"
    script += "console.log(JSON.stringify(await Promise.all(data.map(digestOf))));"
    answers = ask_node(tmp_path, script, manifests)
    assert answers == [digest_of(manifest) for manifest in manifests]
    assert len(set(answers)) == len(answers)


def test_the_limits_are_those_of_the_parity_gate(tmp_path: Path) -> None:
    script = "const { LIMITS } = await import(`${DIST}/index.js`); const { pathOf } = await import(`${DIST}/engines/kinds.js`);"
    script += "console.log(JSON.stringify(Object.entries(LIMITS).map(([name, limits]) => ({ name, path: pathOf(name), ...limits }))));"
    answers = ask_node(tmp_path, script, None)
    mine = {name: variant for name, variant in KNOWN.items() if variant.runtime in {"onnx", "tfjs", "litert"}}
    assert {row["name"]: (row["path"], row["agreement"], row["difference"]) for row in answers} == {
        name: (variant.path, variant.limits.top1_agreement, variant.limits.max_abs_diff) for name, variant in mine.items()
    }


WAYS = [
    Preprocess(size=32),
    Preprocess(size=32, layout="NHWC"),
    Preprocess(size=32, resize="both sides, bicubic, antialiased"),
    Preprocess(size=28, resize="shortest side, bicubic, antialiased", resized=32, crop="centre, rounded down"),
    Preprocess(size=32, resize="longest side, bilinear", crop="none, padded with grey 114"),
]


@pytest.mark.parametrize("how", WAYS, ids=lambda how: f"{how.resize}, {how.layout}")
def test_the_networks_input_is_pythons(how: Preprocess, tmp_path: Path) -> None:
    """To the last bit of a float32 for classifiers; a letterbox may differ from OpenCV's fixed point by a grey level."""
    random = np.random.default_rng(1)
    sizes = [(32, 32), (50, 31), (31, 50), (200, 40), (20, 30), (1, 1)]
    images = [random.integers(0, 256, (height, width, 3), np.uint8) for width, height in sizes]
    given = [
        {"data": np.dstack([image, np.full(image.shape[:2], 7, np.uint8)]).ravel().tolist(), "width": width, "height": height}
        for image, (width, height) in zip(images, sizes, strict=True)
    ]
    script = "const { fitted, parsePreprocess, rgbOf, tensorOf } = await import(`${DIST}/preprocess.js`);"
    script += "const how = parsePreprocess(data.how); console.log(JSON.stringify(data.images.map(({ data, width, height }) => {"
    script += "const image = { data: Uint8Array.from(data), width, height };"
    script += "const { pixels } = fitted(rgbOf(image), width, height, how);"
    script += "return Array.from(tensorOf(pixels, how.size, how.layout)); })));"
    answers = ask_node(tmp_path, script, {"how": asdict(how), "images": given})
    for image, answer in zip(images, answers, strict=True):
        tensor = how.tensor(how.fit(Image.fromarray(image))[None]).ravel()
        if how.resize.startswith("longest"):
            assert np.abs(np.asarray(answer) - tensor).max() <= 1 / 255 + 1e-6
        else:
            assert np.array_equal(np.asarray(answer, np.float32), tensor)
    other = how.tensor(how.fit(Image.fromarray(images[1][::-1]))[None]).ravel()
    assert np.abs(np.asarray(answers[1]) - other).max() > 0.1, "the control: an image upside down is another one"


def test_the_figures_of_classes_are_those_of_the_parity_gate(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    trained = random.dirichlet([0.5] * 4, 50).astype(np.float32)
    others = [trained, trained + random.normal(0, 0.01, trained.shape), trained[::-1], np.where(trained > 0.9, np.nan, trained)]
    script = "const { compare } = await import(`${DIST}/index.js`);"
    script += "const numbers = (rows) => rows.map((row) => row.map((value) => value ?? Number.NaN));"
    script += "console.log(JSON.stringify(data.others.map((rows) => compare(data.trained, numbers(rows)))));"
    rows = [np.where(np.isnan(other), None, other).tolist() for other in others]
    for other, figures in zip(others, ask_node(tmp_path, script, {"trained": trained.tolist(), "others": rows}), strict=True):
        theirs = compare("x", trained, np.asarray(other, np.float32))
        assert figures["agreement"] == pytest.approx(theirs.top1_agreement)
        assert figures["largest"] == pytest.approx(theirs.max_abs_diff, abs=1e-6)
        assert figures["mean"] == pytest.approx(theirs.mean_abs_diff, abs=1e-6)
        assert figures["control"] < 0.9


def test_the_resize_that_goes_with_the_wheel_is_the_compiled_one() -> None:
    if not (DIST / ".complete").exists():
        pytest.skip("the TypeScript is not compiled here: run `make setup`")
    copy = BROWSER.parent / "export" / "resize.mjs"
    assert copy.read_text() == (DIST / "resize.js").read_text(), f"copy {DIST / 'resize.js'} to {copy}"
