"""Every engine of the page in Chromium answers as the trained model does, or is refused with its figure; WebGPU on SwiftShader."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from exporting import check_answers
from pages import WEBGPU, chromium
from web_world import ASK, READY, WebWorld, ready

from pipelines.services.web import page_server

pytestmark = [pytest.mark.journey, pytest.mark.long]

RUNS = [
    *(("onnx-wasm", name) for name in ("onnx-tensor", "onnx")),
    *((engine, "tfjs-float32") for engine in ("tfjs-wasm", "tfjs-webgl", "tfjs-webgpu")),
    ("onnx-webgpu", "onnx-tensor"),
]
DESTROY = "for (const device of self.devices) device.destroy()"
KEEP_DEVICES = """self.devices = [];
const request = GPUAdapter.prototype.requestDevice;
GPUAdapter.prototype.requestDevice = async function (...given) {
  const device = await request.apply(this, given);
  self.devices.push(device);
  return device;
};
"""
"""Before the worker's own script: the GPU's devices, so that one can be lost."""
WRONG_SHADERS = """const make = GPUDevice.prototype.createShaderModule;
GPUDevice.prototype.createShaderModule = function (given) {
  return make.call(this, { ...given, code: given.code.replaceAll('max(', 'min(') });
};
"""
"""A driver with a fault: networks run, and answer wrongly."""


@pytest.fixture(scope="module")
def browser(web: WebWorld) -> Iterator[Any]:
    with chromium(*WEBGPU) as browser:
        yield browser


def shimmed(browser: Any, script: str) -> Any:
    """A page whose workers run a script before their own."""
    context = browser.new_context(service_workers="block")

    def before(route: Any) -> None:
        response = route.fetch()
        route.fulfill(response=response, body=script + response.text())

    context.route("**/assets/worker-*.js", before)
    return context.new_page()


def engine_worker(page: Any) -> Any:
    """The worker that holds the model: ONNX Runtime's threads are workers, too."""
    return next(worker for worker in page.workers if "/worker-" in worker.url)


def test_every_engine_answers_as_the_trained_model_on_50_images(web: WebWorld, browser: Any) -> None:
    with page_server(web.files, 0) as url:
        page = ready(browser.new_page(), url)
        for engine, name in RUNS:
            result = page.evaluate(ASK, [engine, name, [path.name for path in web.images]])
            assert (result["info"]["engine"], result["info"]["variant"]) == (engine, name)
            check_answers(name, web.trained, result)


def test_an_engine_that_answers_wrongly_is_refused_with_its_figure_and_the_next_is_taken(web: WebWorld, browser: Any) -> None:
    with page_server(web.files, 0) as url:
        page = ready(shimmed(browser, WRONG_SHADERS), url)
        info = page.evaluate("modelyard.predictor.info")
        assert info["engine"] == "onnx-wasm"
        assert info["parity"]["agreement"] == 1
        refused = "; ".join(info["refused"])
        assert "onnx-webgpu (onnx-tensor): agreement" in refused
        page.click("text=About this model")
        assert refused in page.text_content("#about")
        page.context.close()


def test_a_gpu_that_is_lost_in_the_middle_is_followed_by_the_next_engine(web: WebWorld, browser: Any) -> None:
    image, label = web.surest()
    with page_server(web.files, 0) as url:
        page = ready(shimmed(browser, KEEP_DEVICES), url)
        assert page.evaluate("modelyard.predictor.info.engine") == "onnx-webgpu"
        page.set_input_files("#file", image)
        page.wait_for_selector(f"#label:text-is('{label}')")
        engine_worker(page).evaluate(DESTROY)
        before = page.evaluate("modelyard.predictor.info.engine")
        answer = page.evaluate(
            "async (file) => (await modelyard.predictor.predict(await (await fetch(file)).blob())).label",
            f"images/{image.name}",
        )
        assert (before, answer) == ("onnx-webgpu", label)
        info = page.evaluate("modelyard.predictor.info")
        assert info["engine"] != "onnx-webgpu"
        assert "onnx-webgpu failed" in info["refused"][-1]
        page.wait_for_selector("#alert:not([hidden])")
        assert "goes on" in page.text_content("#alert")
        assert page.query_selector(READY)
        page.context.close()
