"""What each trainer can be told. Light: no framework is imported here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from registry.records import Record


class _Trainer(Record):
    epochs: int = Field(default=12, ge=1, le=1000)
    imgsz: int = Field(default=64, ge=32, le=1024, multiple_of=32, description="the square input's side, in pixels")
    batch: int = Field(default=32, ge=2, le=1024)
    seed: int = 0


Decode = Annotated[
    Literal["full", "reduced"],
    Field(description="reduced: JPEGs at 1/2, 1/4 or 1/8, in training as in serving, which then answers sooner"),
]


class YoloTrainer(_Trainer):
    """An Ultralytics YOLO classifier, from scratch: no weights are fetched. AGPL-3.0.

    From scratch on a thousand small frames the v8 network learns about twice as fast as the newer ones with
    attention: 12 epochs gave 0.85 against 0.44 on the demo's digits.
    """

    kind: Literal["yolo"] = "yolo"
    arch: str = Field(default="yolov8n-cls", pattern=r"^yolo[a-z0-9]+(-cls)?$")
    lr0: float = Field(default=0.002, gt=0)
    fliplr: float = Field(default=0.0, ge=0, le=1, description="how often to mirror; 0 where left and right differ")
    decode: Decode = "full"


class TorchTrainer(_Trainer):
    """A convolutional network in plain torch: `small_cnn`, or any torchvision classifier by name."""

    kind: Literal["torch"] = "torch"
    arch: str = "small_cnn"
    lr0: float = Field(default=0.004, gt=0)
    decode: Decode = "full"


class KerasTrainer(_Trainer):
    """A small Keras 3 network, trained in the TensorFlow world's own process."""

    kind: Literal["keras"] = "keras"
    batch: int = Field(default=16, ge=2, le=1024)
    arch: Literal["small_cnn"] = "small_cnn"
    lr0: float = Field(default=0.004, gt=0)
    decode: Decode = "full"


TrainerConfig = Annotated[YoloTrainer | TorchTrainer | KerasTrainer, Field(discriminator="kind")]
