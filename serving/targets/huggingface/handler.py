"""The handler of a Hugging Face Inference Endpoint: copied into the model's repository, with the code that it needs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE / "code"))

from serving.inference.standalone import StandalonePredictor, is_batch, picture_of  # noqa: E402 the code is beside this file


class EndpointHandler:
    """Answers what Hugging Face's own image classifiers answer: labels with scores, best first."""

    def __init__(self, path: str = "") -> None:
        """Load the repository's bundle.

        MODELYARD_BUNDLE is the digest that it must have, and MODELYARD_KEYS a folder of trusted *.pub keys of which one must
        have signed it, if set; MODELYARD_DEVICE is cpu or cuda.
        """
        keys = os.environ.get("MODELYARD_KEYS")
        digest = os.environ.get("MODELYARD_BUNDLE", "")
        device: Any = os.environ.get("MODELYARD_DEVICE", "cpu")
        folder = Path(path or _HERE)
        self._predictor = StandalonePredictor(folder, device=device, digest=digest, keys=Path(keys) if keys else None)

    def __call__(self, data: dict[str, Any]) -> list[Any]:
        """`inputs` is a picture, an image file's bytes, the same in base64, or an array of uint8 `[height, width, 3]`.

        A list of these is answered with a list of answers. Raises InputError for what is not a picture.
        """
        inputs: Any = data.get("inputs") if isinstance(data, dict) else data
        if is_batch(inputs):
            return [self._answer(picture) for picture in inputs]
        return self._answer(inputs)

    def _answer(self, picture: object) -> list[dict[str, Any]]:
        prediction = self._predictor.predict(picture_of(picture))
        if "boxes" in prediction:
            return prediction["boxes"]
        ranked = sorted(prediction["probabilities"].items(), key=lambda item: -item[1])
        return [{"label": label, "score": score} for label, score in ranked]
