"""Take the pictures of the documents from a dashboard that runs: tools/pictures.py http://127.0.0.1:8501 [FOLDER].

The dashboard of `make demo` shows what the documents describe. Chromium comes from Debian, as for the tests.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

PAGES = ("overview", "runs", "registry", "costs", "forecast", "data", "live")
_WIDE, _NARROW = (1024, 800), (390, 844)
_TALLEST = 1500
_COLOURS = 256


def take(address: str, folder: Path) -> list[Path]:
    """Every page wide and light; the overview narrow and dark, too."""
    from playwright.sync_api import sync_playwright

    taken = list[Path]()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shots = [(name, name, _WIDE, "light") for name in PAGES] + [("overview", "overview-phone", _NARROW, "dark")]
        for name, file, size, scheme in shots:
            path = folder / f"{file}.png"
            options: dict[str, Any] = {"viewport": {"width": size[0], "height": size[1]}, "color_scheme": scheme}
            page = browser.new_context(**options).new_page()
            page.goto(f"{address}/{'' if name == 'overview' else name}")
            page.get_by_role("heading", level=1).wait_for(timeout=60_000)
            page.wait_for_timeout(4000)
            _grow(page, size)
            page.screenshot(path=path)
            _shrink(path)
            taken.append(path)
        browser.close()
    return taken


def _grow(page: Any, size: tuple[int, int]) -> None:
    """As tall as what is on the page, within reason."""
    height = page.locator('[data-testid="stMain"]').evaluate("node => node.scrollHeight")
    page.set_viewport_size({"width": size[0], "height": min(max(int(height), size[1]), _TALLEST)})
    page.wait_for_timeout(1500)


def _shrink(path: Path) -> None:
    """256 colours are enough for a page, and take a third of the space."""
    from PIL import Image

    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(_COLOURS)
    small.save(path, optimize=True)


if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    for path in take(sys.argv[1].rstrip("/"), Path(sys.argv[2]) if len(sys.argv) > 2 else root / "docs" / "images"):  # noqa: PLR2004
        print(path)
