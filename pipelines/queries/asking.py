"""Asking somebody what a picture shows: an endpoint by its address, a provider's endpoint, or a bundle in this process.

Each is called with an image file's bytes, from several threads at once. It raises InputError for what is wrong with the
picture, and UnavailableError for what is wrong with whoever was asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from registry.errors import InputError, ModelyardError
from serving.inference.outputs import most_likely
from serving.targets.http_asker import Fields

if TYPE_CHECKING:
    from serving.bundle.bundle import Bundle
    from serving.targets.contract import Ask


class Asker(Protocol):
    """Whoever is asked."""

    def __call__(self, data: bytes) -> Fields:
        """What an image file's bytes show. Raises InputError or UnavailableError."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


@dataclass(frozen=True)
class CloudAsker:
    """A provider's endpoint, through its target. It gives each class's best score, and no boxes."""

    ask: Ask
    served_by: str

    def __call__(self, data: bytes) -> Fields:
        """The provider's answer."""
        every = self.ask(data)
        best = most_likely(every)
        return {"label": best, "probability": every.get(best, 0.0), "probabilities": every, "served_by": self.served_by}

    def close(self) -> None:
        """Its target holds no connection."""


class BundleAsker:
    """A bundle, loaded into this process."""

    def __init__(self, bundle: Bundle, served_by: str) -> None:
        """Load it."""
        from serving.inference.predictor import Predictor

        self._predictor, self._served_by = Predictor(bundle), served_by

    def __call__(self, data: bytes) -> Fields:
        """The predictor's answer."""
        try:
            (prediction,) = self._predictor.predict([data])
        except ModelyardError:
            raise
        except Exception as error:
            raise InputError("image", f"cannot be decoded ({type(error).__name__})", "give a whole image file") from error
        return prediction.plain() | {"served_by": self._served_by}

    def close(self) -> None:
        """It goes with the process."""
