"""The page of a small exported network, served as `modelyard web` serves it, in a real headless Chromium."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from detector import draw_shapes
from exporting import about, build, small_network
from untrained import sharpened

from registry.mlflow.package import package_torch
from serving.bundle.modelinfo import write_info
from serving.bundle.preprocess import stack_pixels
from serving.bundle.web_page import WebPage
from serving.export.request import Built

BROWSER = Path(__file__).parents[2] / "serving" / "browser"
READY = "#camera:not([disabled])"
NO_WEBGPU = ("--disable-features=WebGPU", "--disable-blink-features=WebGPU")
_FRAMES = 30
CHECKED = 8
"""Images of the check when the page loads: a GPU that is simulated answers three of them a second."""


@dataclass(frozen=True)
class WebWorld:
    """A bundle, 50 images that it was not fitted to with the trained program's answers, and the page of all that."""

    built: Built
    images: list[Path]
    files: dict[str, bytes | Path]

    @property
    def trained(self) -> np.ndarray:
        """`[50, classes]`."""
        return self.built.measured.trained

    def surest(self) -> tuple[Path, str]:
        """The image with the widest margin between its best two classes, and its label: a camera's noise changes no answer."""
        ranked = np.sort(self.trained, 1)
        index = int((ranked[:, -1] - ranked[:, -2]).argmax())
        return self.images[index], self.built.bundle.labels[int(self.trained[index].argmax())]


def make_world(folder: Path) -> WebWorld:
    """Export the network and make its page."""
    if not (BROWSER / "page" / "build" / "index.html").exists():
        pytest.skip("the page is not built here: run `make setup`")
    torch.manual_seed(0)
    fitted, held_out = draw_shapes(folder / "fitted", 40, 5), draw_shapes(folder / "held-out", 50, 6)
    info, model = about(), folder / "model"
    network = sharpened(small_network(), torch.from_numpy(info.preprocess.tensor(stack_pixels(info.preprocess, fitted))))
    package_torch(network, model, 64, [(-1, 4)])
    write_info(model, info)
    built = build(model, info, held_out, "onnx", "onnx-tensor", "tfjs-float32")
    check = folder / "check"
    check.mkdir()
    rows = [
        {"file": path.name, "truth": "", "probabilities": answer.tolist()}
        for path, answer in zip(held_out[:CHECKED], built.measured.trained, strict=False)
    ]
    for path in held_out[:CHECKED]:
        shutil.copyfile(path, check / path.name)
    (check / "expected.json").write_text(json.dumps({"labels": info.labels, "images": rows}))
    files = WebPage(built.bundle, BROWSER, "staging", check).files()
    return WebWorld(built, held_out, files | {f"images/{path.name}": path for path in held_out})


def film(image: Path, to: Path) -> Path:
    """A second of one picture at 640x480, as Chromium takes it in place of a camera: raw YUV 4:2:0."""
    picture = cv2.resize(cv2.imread(str(image)), (640, 480), interpolation=cv2.INTER_NEAREST)
    frame = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420).tobytes()
    to.write_bytes(b"YUV4MPEG2 W640 H480 F30:1 Ip A1:1 C420jpeg\n" + (b"FRAME\n" + frame) * _FRAMES)
    return to


def camera(film: Path) -> tuple[str, ...]:
    """Flags with which Chromium has one camera, which it may use."""
    return (
        *NO_WEBGPU,
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    )


def ready(page: Any, url: str) -> Any:
    """The page once its model is loaded."""
    page.goto(url)
    page.wait_for_selector(READY, timeout=60_000)
    return page


def with_file(files: Mapping[str, bytes | Path], path: str, content: bytes) -> dict[str, bytes | Path]:
    """The page with another file."""
    return {**files, path: content}


ASK = """async ([engine, variant, names]) => {
  const { predictor, assets } = modelyard;
  const info = await predictor.load(new URL('model/', location.href).href, { engines: [engine], variants: [variant], assets });
  const answers = [];
  for (const name of names) {
    const { probabilities } = await predictor.predict(await (await fetch(`images/${name}`)).blob());
    answers.push(info.labels.map((label) => probabilities[label]));
  }
  return { info, answers };
}"""
"""Images by one engine and variant, from the bytes of their files."""
