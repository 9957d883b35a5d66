"""A page in a real headless Chromium that can run a bundle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BROWSER = ROOT / "serving" / "browser"
TF = "/browser/node_modules/@tensorflow/tfjs-{0}/dist/tf-{0}.min.js"
SCRIPTS = "".join(f'<script src="{TF.format(name)}"></script>' for name in ("core", "backend-cpu", "converter", "backend-wasm"))

IMPORTS = {name: f"/browser/node_modules/{name}/dist/index.js" for name in ("@litertjs/core", "@litertjs/wasm-utils")}
IMPORTS["@huggingface/transformers"] = "/browser/node_modules/@huggingface/transformers/dist/transformers.min.js"
IMPORT_MAP = f'<script type="importmap">{json.dumps({"imports": IMPORTS})}</script>'

WEBGPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")
"""A GPU that the processor simulates."""
NO_GPU = ("--disable-gpu",)


class _Files(SimpleHTTPRequestHandler):
    """Folders under names of our own; quiet."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {".mjs": "text/javascript", ".wasm": "application/wasm"}

    def __init__(self, *args, places: dict[str, Path], **options) -> None:
        self.places = places
        super().__init__(*args, **options)

    def translate_path(self, path: str) -> str:
        top, _, rest = path.split("?", maxsplit=1)[0].lstrip("/").partition("/")
        return str(self.places[top] / rest) if top in self.places else "/nowhere"

    def do_GET(self) -> None:
        if self.path == "/":
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(f"<!doctype html><title>parity</title>{IMPORT_MAP}{SCRIPTS}".encode())
            return
        super().do_GET()

    def log_message(self, *args) -> None:
        return


@contextmanager
def chromium(*flags: str) -> Iterator[Any]:
    """A headless Chromium, without a GPU unless flags say otherwise; skips where none is installed."""
    path = shutil.which("chromium")
    if not path:
        pytest.skip("Chromium is not installed here (Debian package 'chromium')")
    from playwright.sync_api import sync_playwright

    usual = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=[*usual, *(flags or NO_GPU)])
        yield browser
        browser.close()


@contextmanager
def _opened(handler: partial[SimpleHTTPRequestHandler], *, webgpu: bool = False) -> Iterator[object]:
    """A Playwright page on a loopback server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        with chromium(*(WEBGPU if webgpu else ())) as browser:
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
            yield page
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def parity_page(bundle: Path, images: Path, *, webgpu: bool = False) -> Iterator[object]:
    """A page on a loopback server of the bundle, the images, TF.js and Transformers.js."""
    places = {"bundle": bundle, "images": images, "browser": BROWSER, "export": ROOT / "serving" / "export"}
    places["page"] = Path(__file__).parent
    with _opened(partial(_Files, places=places), webgpu=webgpu) as page:
        yield page


class _Quiet(SimpleHTTPRequestHandler):
    """One folder."""

    def log_message(self, *args) -> None:
        return


@contextmanager
def folder_page(folder: Path) -> Iterator[object]:
    """A page on a loopback server of a folder and of nothing else."""
    with _opened(partial(_Quiet, directory=str(folder))) as page:
        yield page


def run_in_page(page, function: str, *arguments: object, module: str = "parity_page.mjs") -> dict:
    """Call a function of a module beside this one in the page."""
    code = "async ([module, name, given]) => (await import(`/page/${module}`))[name](...given)"
    return page.evaluate(code, [module, function, list(arguments)])


def save_alias(page: Any, number: int, alias: str) -> None:
    """On MLflow's page of a model, add an alias to a version in the dialog, and save."""
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=f"Version {number}", exact=True))
    row.get_by_role("cell").nth(6).get_by_role("button").last.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("combobox").press_sequentially(alias)
    page.get_by_role("option", name=alias).first.wait_for(state="attached")
    dialog.get_by_role("combobox").press("Enter")
    dialog.get_by_role("button", name="Save aliases").click()


def refusal_of(page: Any, number: int, alias: str, screenshot: Path) -> str:
    """What the dialog says when it refuses an alias to a version, on MLflow's page of its model; the dialog is left again."""
    page.get_by_role("link", name="Version 1", exact=True).wait_for()
    save_alias(page, number, alias)
    alert = page.get_by_role("dialog").get_by_role("alert")
    alert.wait_for()
    words = alert.inner_text()
    page.screenshot(path=screenshot)
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    return words
