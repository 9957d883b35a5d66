"""BentoML with two workers: bentoml serve bento_service:Digits."""

from pathlib import Path

import bentoml
from shared import Model


@bentoml.service(workers=2)
class Digits:
    """An image file as a form's file."""

    def __init__(self) -> None:
        """Load the model."""
        self.model = Model()

    @bentoml.api
    def predict(self, image: Path) -> dict:
        """The answer."""
        return self.model.predict(image.read_bytes())
