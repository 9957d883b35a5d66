"""The page that runs a bundle in the browser, as a free static Space at Hugging Face."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from serving.bundle.web_page import WebPage

_CARD = """---
title: {title}
sdk: static
pinned: false
custom_headers:
  cross-origin-embedder-policy: require-corp
  cross-origin-opener-policy: same-origin
  cross-origin-resource-policy: cross-origin
---

`{model}/{version}` in the browser. No picture leaves the device.

Bundle `{bundle}`; made with Modelyard.
"""
"""With these headers a page may use WebAssembly's threads."""


def space_files(page: WebPage) -> Mapping[str, bytes | Path]:
    """The Space's files by their paths. Raises NotFoundError where the page is not built."""
    index = page.bundle.index
    title = f"{index.model} {index.version}"
    card = _CARD.format(title=title, model=index.model, version=index.version, bundle=index.digest)
    return {"README.md": card.encode(), **page.files()}
