"""The row about the browser page: what a frame costs in the page, beside the bare engine on a tensor that is ready."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serving.bundle.bundle import Bundle

_SIZE, _PAIRS = 224, 5
_LEAST = 0.9
"""The share of the bare engine's rate that the page has to reach."""
_BARE = "bare/ort.wasm.bundle.min.mjs"
_MEASURE = """async ([size, frames]) => {
  const median = (spans) => spans.sort((a, b) => a - b)[spans.length >> 1];
  const canvas = new OffscreenCanvas(640, 480);
  const context = canvas.getContext('2d');
  for (let at = 0; at < 400; at += 1) {
    context.fillStyle = `hsl(${at * 37 % 360} 60% 50%)`;
    context.fillRect((at * 97) % 640, (at * 53) % 480, 60, 60);
  }
  const ort = await import(new URL('bare/ort.wasm.bundle.min.mjs', location.href).href);
  ort.env.wasm.numThreads = Math.min(navigator.hardwareConcurrency, 4);
  const session = await ort.InferenceSession.create(new URL('model/model.tensor.onnx', location.href).href);
  const values = Float32Array.from({ length: 3 * size * size }, (_, at) => (at % 251) / 251);
  const input = new ort.Tensor('float32', values, [1, 3, size, size]);
  const spans = { bare: [], page: [] };
  for (let frame = 0; frame < frames; frame += 1) {
    let began = performance.now();
    const { [session.outputNames[0]]: output } = await session.run({ [session.inputNames[0]]: input });
    output.dispose();
    spans.bare.push(performance.now() - began);
    const picture = await createImageBitmap(canvas);
    began = performance.now();
    await modelyard.predictor.predict(picture);
    spans.page.push(performance.now() - began);
  }
  return { bare: median(spans.bare), page: median(spans.page), info: modelyard.predictor.info };
}"""


def rows() -> dict[str, Callable[[], dict[str, Any]]]:
    """The benchmarks of this file."""
    return {"browser_latency": browser_latency}


def _bundle(folder: Path) -> Bundle:
    """An untrained network that tells its pictures apart. They have its size: nobody resizes them, and all engines agree."""
    import torch
    from exporting import draw_shapes, order_of, quiet, tools
    from untrained import sharpened

    from pipelines.training.trainers.torch_networks import LITE0, build_network
    from registry.mlflow.package import package_torch
    from serving.bundle.modelinfo import ModelInfo, write_info
    from serving.bundle.preprocess import Preprocess, stack_pixels
    from serving.export.build import build_bundle

    torch.manual_seed(0)
    model, labels = folder / "model", [f"class{index}" for index in range(4)]
    images = draw_shapes(folder / "images", 24, 1, (_SIZE, _SIZE))
    preprocess = Preprocess(size=_SIZE)
    pixels = torch.from_numpy(preprocess.tensor(stack_pixels(preprocess, images)))
    network = sharpened(build_network(LITE0, len(labels), _SIZE), pixels)
    package_torch(network, model, _SIZE, [(-1, len(labels))])
    about = {"trainer": "torch", "arch": LITE0, "framework": "torch", "labels": labels, "dataset": "0" * 64}
    write_info(model, ModelInfo(**about, preprocess=preprocess))
    return build_bundle(order_of(model, images, images, ("onnx", "onnx-tensor")), folder / "bundle", tools(), quiet).bundle


def browser_latency() -> dict[str, Any]:
    """Milliseconds a 640 x 480 frame in `modelyard web`'s page (ours), from bitmap to answer, and the bare engine's run (peer).

    An EfficientNet-Lite0 at 224 pixels in headless Chromium on WebAssembly. Ours hands the frame to the worker, resizes it,
    runs it and hands the answer back; the peer is ONNX Runtime Web alone on a tensor that is ready. Medians of 40,
    alternating. The limit is the peer's time through 0.9: the page has at least nine tenths of the bare rate.
    """
    from clips import SkippedError
    from playwright.sync_api import sync_playwright

    from pipelines.services.web import page_server
    from serving.bundle.web_page import WebPage

    chromium = shutil.which("chromium")
    if not chromium:
        raise SkippedError("Chromium is not installed here")
    browser_folder = Path(__file__).resolve().parents[1] / "serving" / "browser"
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as folder:
        bundle = _bundle(Path(folder))
        files = WebPage(bundle, browser_folder).files()
        files[_BARE] = browser_folder / "node_modules" / "onnxruntime-web" / "dist" / "ort.wasm.bundle.min.mjs"
        files["bare/ort-wasm-simd-threaded.wasm"] = files[_BARE].with_name("ort-wasm-simd-threaded.wasm")
        with page_server(files, 0) as url, sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-features=WebGPU"])
            page = browser.new_page()
            page.goto(url)
            page.wait_for_selector("#camera:not([disabled])")
            page.evaluate(_MEASURE, [_SIZE, 5])
            measured = [page.evaluate(_MEASURE, [_SIZE, 40 // _PAIRS]) for _ in range(_PAIRS)]
            browser.close()
    ours, peer = (statistics.median(each[name] for each in measured) for name in ("page", "bare"))
    info = measured[0]["info"]
    return {"ours": ours, "peer": peer, "limit": peer / _LEAST, "unit": "ms", "note": f"{info['engine']} ({info['variant']})"}
