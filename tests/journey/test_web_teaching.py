"""Teaching in the page: takes are recorded, a head is trained and tried, kept, and taken away as one file."""

from __future__ import annotations

import base64
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from pages import chromium
from web_world import NO_WEBGPU, READY, WebWorld, ready

from pipelines.services.web import page_server

pytestmark = [pytest.mark.journey, pytest.mark.long]

CAMERA = """navigator.mediaDevices.getUserMedia = async () => {
  const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 240 });
  const context = canvas.getContext('2d');
  let turn = 0;
  setInterval(() => {
    turn += 1;
    if (self.shown) context.drawImage(self.shown, turn % 5, turn % 3, 320, 240);
  }, 33);
  return canvas.captureStream(30);
};
self.show = async (data) => { self.shown = await createImageBitmap(await (await fetch(data)).blob()); };
"""
"""A camera that looks at the picture that the test holds up, with an unsteady hand."""
IN_TIME = """async (names) => {
  const began = performance.now();
  const samples = [];
  for (const [at, name] of names.entries()) {
    const blob = await (await fetch(`images/${name}`)).blob();
    for (let frame = 0; frame < 300; frame += 1) {
      const { features } = await modelyard.predictor.features(blob);
      samples.push({ features: features.map((value) => value + 0.01 * Math.sin(frame)), label: `class ${at}`, take: `${at}-${frame % 4}` });
    }
  }
  const { accuracy, heldOutSamples } = await modelyard.predictor.teach(samples, {});
  return { seconds: (performance.now() - began) / 1000, accuracy, heldOutSamples };
}"""


@pytest.fixture
def page(web: WebWorld) -> Iterator[Any]:
    with page_server(web.files, 0) as url, chromium(*NO_WEBGPU) as browser, browser.new_context() as context:
        page = context.new_page()
        page.add_init_script(CAMERA)
        yield ready(page, url)


def open_panel(page: Any) -> None:
    page.click("#teach summary")
    page.wait_for_selector("#progress:text-matches('^tfjs-')", timeout=60_000)
    page.wait_for_selector(READY)


def record(page: Any, name: str, picture: Path, frames: int) -> None:
    """One take of a class."""
    page.evaluate("data => show(data)", "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode())
    page.wait_for_timeout(200)  # the frames that were on their way show the picture before
    row = page.locator("#classes li", has_text=name)
    before = int(row.locator("span").text_content().split()[0])
    row.get_by_text("Record a take").click()
    button = row.get_by_text("Stop recording").element_handle()
    for _ in range(200):
        if int(row.locator("span").text_content().split()[0]) - before >= frames:
            break
        page.wait_for_timeout(50)
    kept = "node => node.isConnected && node === document.activeElement"
    assert button.evaluate(kept), "a button that is put there anew for each frame loses clicks, and the keyboard's focus"
    row.get_by_text("Stop recording").click()
    row.get_by_text("Record a take").wait_for()


def test_two_classes_are_recorded_taught_tried_kept_and_exported(web: WebWorld, page: Any, tmp_path: Path) -> None:
    shown = {"Tasse <b>ä": web.images[0], "box": web.images[1]}
    open_panel(page)
    for name in shown:
        page.fill("#class-name", name)
        page.press("#class-name", "Enter")
    assert page.is_disabled("#train"), "nothing was recorded"
    for _take in range(2):
        for name, picture in shown.items():
            record(page, name, picture, 8)
    page.click("#train")
    page.wait_for_selector("#taught:text-matches('Accuracy on 2 takes that it did not see .* 100.0 %')", timeout=60_000)
    for name, picture in shown.items():
        page.set_input_files("#file", picture)
        page.wait_for_selector(f"#label:text-is('{name}')", timeout=15_000)
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(tmp_path / "taught.zip")
    with zipfile.ZipFile(tmp_path / "taught.zip") as archive:
        assert archive.testzip() is None
        document = json.loads(archive.read("taught.json"))
        pictures = {name for name in archive.namelist() if name != "taught.json"}
        assert all(archive.read(name).startswith(b"\xff\xd8\xff") for name in pictures)
    index = web.built.bundle.index
    assert document["base"] == {"model": index.model, "version": index.version, "bundle": index.digest}
    assert document["labels"] == list(shown)
    assert {image["file"] for image in document["images"]} == pictures
    assert len({image["take"] for image in document["images"]}) == 4
    assert document["training"]["accuracy"] == 1
    assert len(document["head"]["kernel"]) == 48 * 2
    unseen = {image["file"] for image in document["images"] if image["take"] in document["training"]["held_out"]}
    assert {check["file"] for check in document["checks"]} <= unseen
    assert all(abs(sum(check["probabilities"]) - 1) < 1e-6 for check in document["checks"])
    page.reload()
    page.wait_for_selector(READY, timeout=60_000)
    open_panel(page)
    page.wait_for_selector("#classes li:has-text('box')")
    assert page.locator("#classes li b").count() == 0, "a name is no markup"
    assert page.is_enabled("#train")


def test_300_samples_of_three_classes_take_less_than_20_seconds(web: WebWorld, page: Any) -> None:
    open_panel(page)
    done = page.evaluate(IN_TIME, [path.name for path in web.images[:3]])
    assert done["seconds"] < 20
    assert done["accuracy"] == 1
    assert done["heldOutSamples"] == 3 * 75
