"""The handler of a Hugging Face Inference Endpoint: copied into the model's repository, with the code that it needs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE / "code"))

from registry.errors import InputError  # noqa: E402 the code is beside this file
from serving.inference.standalone import StandalonePredictor, is_batch, picture_of  # noqa: E402 the code is beside this file

_MOST_IMAGES = 64


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

        A list of these is answered with a list of answers. `parameters` are those of Hugging Face's clients: `top_k`, and
        `function_to_apply` where it is the softmax that was applied; a detector takes `threshold`. Raises InputError for
        what is not a picture, and for parameters that are not offered.
        """
        if not isinstance(data, dict):
            data = {"inputs": data}
        inputs: Any = data.get("inputs")
        parameters = self._checked(data.get("parameters"))
        if is_batch(inputs):
            if len(inputs) > _MOST_IMAGES:
                raise InputError("inputs", f"holds more than {_MOST_IMAGES} images", "send fewer at a time")
            return [self._answer(picture, parameters) for picture in inputs]
        return self._answer(inputs, parameters)

    def _checked(self, given: Any) -> dict[str, Any]:
        """The parameters, or InputError."""
        parameters: dict[str, Any] = {} if given is None else given
        if not isinstance(parameters, dict):
            raise InputError("parameters", "is not an object", 'send {"top_k": 5}')
        parameters = {name: value for name, value in parameters.items() if value is not None}
        offered = {"top_k", "threshold"} if self._predictor.detects else {"top_k", "function_to_apply"}
        if others := parameters.keys() - offered:
            raise InputError(f"parameters '{min(map(str, others))[:60]}'", "is not offered by this model", "leave it out")
        top_k, threshold = parameters.get("top_k", 1), parameters.get("threshold", 0.0)
        if not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1:
            raise InputError("top_k", "is not a whole number from 1", "send how many labels you want")
        if not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
            raise InputError("threshold", "is not a number of 0 to 1", "send the lowest score that you want")
        if parameters.get("function_to_apply", "softmax") != "softmax":
            raise InputError("function_to_apply", "is another than softmax", "leave it out: scores are probabilities")
        return parameters

    def _answer(self, picture: object, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        prediction, most = self._predictor.predict(picture_of(picture)), parameters.get("top_k")
        if "boxes" in prediction:
            lowest = parameters.get("threshold", 0.0)
            return [box for box in prediction["boxes"] if box["score"] >= lowest][:most]
        ranked = sorted(prediction["probabilities"].items(), key=lambda item: -item[1])
        return [{"label": label, "score": score} for label, score in ranked[:most]]
