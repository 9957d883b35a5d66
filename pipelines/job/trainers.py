"""What each trainer can be told. Light: no framework is imported here."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import Discriminator, Field, Tag

from pipelines.job.other_trainers import OWN, OtherTrainer
from registry.records import Record

Decode = Annotated[
    Literal["full", "reduced"],
    Field(description="reduced: JPEGs at 1/2, 1/4 or 1/8, in training as in serving, which then answers sooner"),
]
Side = Annotated[int, Field(ge=32, le=1024, multiple_of=32)]


class _Trainer(Record):
    epochs: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="passes over the training images; default: a budget of optimizer steps fitted to the data set, "
        "which ends early when val no longer improves",
    )
    imgsz: Side | None = Field(
        default=None, description="the square input's side, in pixels; default: what the weights were trained with, or 64"
    )
    batch: int = Field(default=32, ge=2, le=1024)
    seed: int = Field(default=0, ge=0, lt=2**32)
    weights: str = Field(
        default="auto",
        min_length=1,
        description="what training begins from: imagenet, scratch, or a file of weights; auto tries what is cheap first "
        "and keeps what val prefers",
    )
    weights_sha256: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{64}$", description="the file's digest: another file is refused"
    )
    freeze: Literal["auto", "backbone", "none"] = Field(
        default="auto", description="backbone: only a new head is trained, on features that are computed once"
    )
    decode: Decode = "full"


class YoloTrainer(_Trainer):
    """An Ultralytics YOLO classifier. AGPL-3.0.

    From scratch on a thousand small frames the v8 network learns about twice as fast as the newer ones with
    attention: 12 epochs gave 0.85 against 0.44 on the demo's digits.
    """

    kind: Literal["yolo"] = "yolo"
    arch: str = Field(default="yolov8n-cls", pattern=r"^yolo[a-z0-9]+(-cls)?$")
    lr0: float = Field(default=0.002, gt=0, le=10)
    fliplr: float = Field(default=0.0, ge=0, le=1, description="how often to mirror; 0 where left and right differ")
    loop: Literal["fast", "ultralytics"] = Field(
        default="ultralytics",
        description="fast: frames are decoded once and augmented in memory; ultralytics: its own `train()`",
    )


class TorchTrainer(_Trainer):
    """A network in PyTorch: `small_cnn`, or a classifier of torchvision or timm by its name."""

    kind: Literal["torch"] = "torch"
    arch: str = Field(
        default="auto", description="auto: small_cnn from scratch, efficientnet_lite0 with ImageNet weights, or both by val"
    )
    lr0: float | None = Field(default=None, gt=0, le=10, description="the highest learning rate; default: by what is trained")
    fliplr: float = Field(default=0.0, ge=0, le=1, description="how often to mirror; 0 where left and right differ")


class KerasTrainer(_Trainer):
    """A Keras 3 network, trained in the TensorFlow world's own process."""

    kind: Literal["keras"] = "keras"
    batch: int = Field(default=16, ge=2, le=1024)
    arch: str = Field(default="small_cnn", description="small_cnn, or a classifier of keras.applications by its name")
    lr0: float = Field(default=0.004, gt=0, le=10)


def _kind_of(value: Any) -> str:
    fields = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    kind = fields.get("kind") if fields else getattr(value, "kind", None)
    return str(kind) if kind in OWN else "other"


TrainerConfig = Annotated[
    Annotated[YoloTrainer, Tag("yolo")]
    | Annotated[TorchTrainer, Tag("torch")]
    | Annotated[KerasTrainer, Tag("keras")]
    | Annotated[OtherTrainer, Tag("other")],
    Discriminator(_kind_of),
]
