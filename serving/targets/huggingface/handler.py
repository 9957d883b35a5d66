"""What an Inference Endpoint of Hugging Face runs: copied into the model's repository, with the code that it needs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE / "code"))

from serving.lone import LonePredictor, image_of  # noqa: E402 the code lies beside this file


class EndpointHandler:
    """Answers what Hugging Face's own image classifiers answer: labels with scores, best first."""

    def __init__(self, path: str = "") -> None:
        """Load the bundle that the repository holds."""
        self._predictor = LonePredictor(Path(path or _HERE))

    def __call__(self, data: dict[str, Any]) -> list[dict[str, Any]]:
        """`inputs` is a picture, an image file's bytes, or the same in base64."""
        given = data.get("inputs", b"")
        told = self._predictor.predict(image_of(given) if isinstance(given, str) else given)
        if "boxes" in told:
            return told["boxes"]
        ranked = sorted(told["probabilities"].items(), key=lambda one: -one[1])
        return [{"label": label, "score": score} for label, score in ranked]
