"""The page of `modelyard web` in Chromium: the camera, files, what goes wrong, no network, and nothing that grows."""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from pages import chromium
from web_world import NO_WEBGPU, READY, WebWorld, camera, film, ready, with_file

from pipelines.services.web import page_server

pytestmark = [pytest.mark.journey, pytest.mark.long]

TEN_MINUTES = 18_000
"""Frames at 30 a second."""
_PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium without a camera, whose pages get no permission."""
    with chromium(*NO_WEBGPU) as browser:
        yield browser


@pytest.fixture(scope="module")
def url(web: WebWorld) -> Iterator[str]:
    with page_server(web.files, 0) as url:
        yield url


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    with browser.new_context() as context:
        yield ready(context.new_page(), url)


def alert(page: Any) -> str:
    page.wait_for_selector("#alert:not([hidden])", timeout=30_000)
    return page.text_content("#alert p")


def labelled(page: Any, label: str) -> None:
    page.wait_for_selector(f"#label:text-is('{label}')", timeout=15_000)


def test_the_camera_is_answered_rightly_within_a_second_of_frames(web: WebWorld, url: str, tmp_path: Path) -> None:
    """Rate and latency are shown, an unplugged camera is a message with a way on, and leaving the page ends its worker."""
    image, label = web.surest()
    with chromium(*camera(film(image, tmp_path / "camera.y4m"))) as browser:
        page = ready(browser.new_page(), url)
        asked = list[str]()
        page.on("request", lambda request: asked.append(request.url))
        page.click("#camera")
        labelled(page, label)
        page.wait_for_selector("#rate:text-matches('^[1-9][0-9]* / s$')")
        page.wait_for_selector("#latency:text-matches('ms$')")
        answered = page.evaluate("modelyard.predictor.memory()")["answers"]
        assert page.text_content("#label") == label
        assert answered < 300, "every frame of ten seconds and no answer"
        page.evaluate("document.getElementById('video').srcObject.getTracks()[0].dispatchEvent(new Event('ended'))")
        assert "unplugged" in alert(page)
        page.wait_for_selector("#camera:text-is('Start camera')")
        page.click("#alert button")
        page.wait_for_selector("#camera:text-is('Stop camera')")
        workers = [worker for worker in page.workers if "/worker-" in worker.url]
        ended = list[str]()
        workers[0].on("close", lambda worker: ended.append(worker.url))
        page.goto("about:blank")
        page.wait_for_timeout(500)
        assert ended
        assert all(address.startswith((url, "blob:")) for address in asked), "nothing leaves the page"


def test_ten_minutes_of_frames_leave_as_many_tensors_and_as_much_memory_as_one(page: Any) -> None:
    """By TensorFlow.js, which frees nothing by itself."""
    load = (
        "modelyard.predictor.load(new URL('model/', location.href).href, { engines: ['tfjs-wasm'], assets: modelyard.assets })"
    )
    page.evaluate(load)
    run = """async (frames) => {
      const data = Uint8Array.from({ length: 64 * 64 * 3 }, (_, at) => at % 251);
      for (let frame = 0; frame < frames; frame += 100) {
        await Promise.all(Array.from({ length: 100 }, () => modelyard.predictor.predict({ data, width: 64, height: 64 })));
      }
      const { bytes } = await performance.measureUserAgentSpecificMemory();
      return [(await modelyard.predictor.memory()).tensors, bytes];
    }"""
    tensors, before = page.evaluate(run, 300)
    after, held = page.evaluate(run, TEN_MINUTES)
    assert after == tensors
    assert held < before + 4e6, "less than 250 bytes for each frame"


def test_images_are_answered_from_a_chooser_a_drop_and_the_clipboard(web: WebWorld, page: Any) -> None:
    image, label = web.surest()
    other = next(path for path, row in zip(web.images, web.trained, strict=True) if row.argmax() != web.trained.max(0).argmax())
    give = """async ([kind, name]) => {
      const file = new File([await (await fetch(`images/${name}`)).blob()], name, { type: 'image/png' });
      const data = new DataTransfer();
      data.items.add(file);
      const event = kind === 'paste' ? new ClipboardEvent('paste', { clipboardData: data }) : new DragEvent('drop', { dataTransfer: data });
      (kind === 'paste' ? document : document.getElementById('drop')).dispatchEvent(event);
    }"""
    labels = web.built.bundle.labels
    for kind in ("drop", "paste"):
        page.set_input_files("#file", other)
        labelled(page, labels[int(web.trained[web.images.index(other)].argmax())])
        page.evaluate(give, [kind, image.name])
        labelled(page, label)
        page.wait_for_selector("#image:not([hidden])")
    shown = page.eval_on_selector_all("#scores li", "rows => rows.map((row) => row.innerText)")
    assert len(shown) == len(labels)


def test_what_is_no_image_or_too_large_is_one_sentence_and_the_page_goes_on(web: WebWorld, page: Any, tmp_path: Path) -> None:
    image, label = web.surest()
    header = struct.pack(">I4sIIBBBBB", 13, b"IHDR", 10_000, 10_000, 8, 2, 0, 0, 0)
    odd = {
        "huge.png": (_PNG + header + b"\0" * 100, "has 100 megapixels, more than 64. Give a smaller picture."),
        "notes.txt": (b"not a picture", "is not an image that this browser can read"),
        "empty.jpg": (b"", "is not an image that this browser can read"),
        "cut.png": (image.read_bytes()[:60], "is not an image that this browser can read"),
        "odd.mp4": (b"\0\0\0 ftypmp42", "is not a video that this browser can play"),
    }
    for name, (content, words) in odd.items():
        (tmp_path / name).write_bytes(content)
        page.set_input_files("#file", tmp_path / name)
        page.wait_for_selector(f"#alert:has-text('{words}')", timeout=10_000)
        page.set_input_files("#file", image)
        labelled(page, label)
        page.wait_for_selector("#alert", state="hidden")


def test_a_camera_that_is_refused_or_not_there_is_said_with_a_way_on(page: Any, browser: Any, url: str) -> None:
    page.click("#camera")
    assert any(words in alert(page) for words in ("was refused", "was not found"))
    assert page.query_selector(READY)
    for name, words in {
        "NotAllowedError": "The camera was refused. Allow it in the browser's address bar",
        "NotFoundError": "The camera was not found. Connect a camera, or choose a file.",
        "NotReadableError": "used by another program",
        "OddError": "does not start",
    }.items():
        page.evaluate(
            "name => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('x', name)); }", name
        )
        page.click("#camera")
        page.wait_for_selector(f'#alert:has-text("{words}")')


def test_a_model_that_was_changed_is_newer_or_does_not_come_is_refused_and_can_be_tried_again(
    web: WebWorld, browser: Any
) -> None:
    index = json.loads(Path(web.files["model/bundle.json"]).read_bytes())
    changed = {
        "model/model.tensor.onnx": (Path(web.files["model/model.tensor.onnx"]).read_bytes()[:-1] + b"\0", "sealed with"),
        "model/bundle.json": (json.dumps(index | {"format": 2}).encode(), "newer modelyard-browser"),
        "model/labels.json": (b"[]", "sealed with"),
        "model/about.json": (b"{", "model/about.json"),
    }
    for path, (content, words) in changed.items():
        files = with_file(web.files, path, content)
        with page_server(files, 0) as url, browser.new_context() as context:
            page = context.new_page()
            page.goto(url)
            assert words in alert(page), path
            files[path] = web.files[path]
            page.click("#alert button")
            page.wait_for_selector(READY, timeout=30_000)
    with page_server(web.files, 0) as url, browser.new_context(service_workers="block") as context:
        page = context.new_page()
        context.route("**/model/model*.onnx", lambda route: route.abort())
        page.goto(url)
        assert "does not answer. Check the network" in alert(page)
        context.unroute("**/model/model*.onnx")
        page.click("#alert button")
        page.wait_for_selector(READY, timeout=30_000)


def test_without_a_network_the_page_loads_again_and_answers_and_with_a_full_storage_it_works(
    web: WebWorld, browser: Any
) -> None:
    image, label = web.surest()
    with browser.new_context() as context:
        page = context.new_page()
        with page_server(web.files, 0) as url:
            ready(page, url)
        page.reload()  # the server is gone
        page.wait_for_selector(READY, timeout=30_000)
        page.set_input_files("#file", image)
        labelled(page, label)
        assert "checked on 8 images" in page.text_content("#progress")
    with page_server(web.files, 0) as url, browser.new_context() as context:
        page = context.new_page()
        page.goto("about:blank")
        context.new_cdp_session(page).send("Storage.overrideQuotaForOrigin", {"origin": url.rstrip("/"), "quotaSize": 10_000})
        ready(page, url)
        page.set_input_files("#file", image)
        labelled(page, label)


def test_a_bundle_of_another_origin_is_said_to_be_one(web: WebWorld, page: Any) -> None:
    with page_server(web.files, 0) as elsewhere:
        load = "address => modelyard.predictor.load(address, {}).then(() => 'loaded', (error) => error.message)"
        words = page.evaluate(load, f"{elsewhere}model/")
        assert "does not allow pages of another origin" in words
        assert "CORS" in words


def test_the_page_is_used_by_keyboard_and_read_aloud_in_both_themes(page: Any) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the answer"
    reached = set[str]()
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"engine", "theme", "camera", "file"} <= reached
    unnamed = "[...document.querySelectorAll('button, input, select')].filter((one) => !one.hidden && !one.labels?.length && !one.textContent.trim() && !one.ariaLabel).length"
    assert page.evaluate(unnamed) == 0
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.click("#theme")
    assert page.evaluate(colour) != light
    page.reload()
    page.wait_for_selector(READY)
    assert page.evaluate(colour) != light, "kept"
    for width in (1400, 420):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{width} px scroll sideways"
