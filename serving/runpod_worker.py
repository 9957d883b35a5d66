"""The entry point of the RunPod queue worker's container: the official SDK's loop around the predictor.

    python -m serving.runpod_worker [--test_input '{"input": {"image": "…"}}' | --rp_serve_api]

Importing the SDK takes longer than downloading and loading the model, so both happen at once.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from registry.errors import InputError, ModelyardError, shorten
from serving.container import bundle_dir, keys_dir
from serving.inference.standalone import StandalonePredictor, image_of
from serving.inference.traffic import REFUSED

_MOST_BYTES, _MOST_IMAGES = 20_000_000, 64


class Loading:
    """Loads the predictor in the background."""

    def __init__(self) -> None:
        """Start loading."""
        self._predictor: StandalonePredictor | None = None
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._load, daemon=True)
        self._thread.start()

    def get(self) -> StandalonePredictor:
        """Wait for the predictor. Raises the error that prevented loading."""
        self._thread.join()
        if self._predictor is None:
            raise self._failed or RuntimeError("nothing was loaded")
        return self._predictor

    def _load(self) -> None:
        try:
            device = "cuda" if os.environ.get("MODELYARD_DEVICE") == "cuda" else "cpu"
            self._predictor = StandalonePredictor(bundle_dir(), device=device, keys=keys_dir())
        except BaseException as error:  # noqa: BLE001 it is raised again where it is waited for
            self._failed = error


def handler_of(loading: Loading) -> Any:
    """`input` is `{"image": base64 or data URL}` or `{"images": [...]}`; the answer is ours, or `{"error": line}`."""

    def handler(job: dict[str, Any]) -> dict[str, Any]:
        try:
            texts, several = _texts_of(job.get("input"))
            predictor = loading.get()
            predictions = [predictor.predict(image_of(text)) for text in texts]
        except InputError as error:
            return {"error": f"{REFUSED}{error}"}
        except ModelyardError as error:
            return {"error": str(error)}
        except Exception as error:  # noqa: BLE001 a trace would show a stranger our files
            return {"error": f"prediction failed ({type(error).__name__})"}
        return {"predictions": predictions} if several else predictions[0]

    return handler


def _texts_of(payload: object) -> tuple[list[Any], bool]:
    """A job's pictures, still as text, and whether it sent a list. Everything is counted before anything is decoded."""
    if not isinstance(payload, dict) or ("image" in payload) == ("images" in payload):
        raise InputError("input", "must hold 'image' or 'images'", "send {'image': '<base64 of an image file>'}")
    if others := payload.keys() - {"image", "images"}:
        raise InputError(f"input '{shorten(min(map(str, others)), 60)}'", "is not offered", "send 'image' or 'images' alone")
    several = "images" in payload
    texts = payload["images"] if several else [payload["image"]]
    if not isinstance(texts, list) or not texts:
        raise InputError("images", "is not a list of images", "send base64 texts")
    if len(texts) > _MOST_IMAGES:
        raise InputError("images", f"holds more than {_MOST_IMAGES} images", "send fewer at a time")
    if sum(len(text) for text in texts if isinstance(text, str)) > _MOST_BYTES:
        raise InputError("input", "holds more than 20 MB", "send fewer or smaller images")
    return texts, several


def main() -> int:
    """Load and import at once, then take jobs; a bundle that cannot be served ends the worker."""
    loading = Loading()
    import runpod

    try:
        loading.get()
    except ModelyardError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 a worker that cannot load must end, and say why
        print(f"worker: cannot load ({shorten(error)})", file=sys.stderr)
        return 2
    runpod.serverless.start({"handler": handler_of(loading)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
