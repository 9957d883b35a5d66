"""What a Hugging Face image processor does to a picture, as our preprocessing and a normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipelines.training.foreign.options import Normalise, Tensors
from registry.errors import InputError, missing_extra, shorten
from serving.bundle.preprocess import Preprocess

_METHODS = {2: "bilinear", 3: "bicubic"}
_CHANNELS, _EXACT, _WARPED_FROM = 3, 1e-4, 384


@dataclass(frozen=True)
class Processor:
    """A processor: what it does in our words, and itself. `channels`: which of red, green, blue it hands on first."""

    preprocess: Preprocess
    normalise: Normalise
    channels: tuple[int, ...]
    itself: Any

    def pixels(self, picture: Image.Image) -> Tensors:
        """Its own answer for a picture: `[1, 3, S, S]`."""
        return np.asarray(self.itself(images=picture, return_tensors="np")["pixel_values"], np.float32)


def read_processor(folder: Path, subject: object) -> Processor:
    """The processor in a folder. Raises InputError for one that does what cannot be said in our words."""
    try:
        from transformers import AutoImageProcessor
    except ModuleNotFoundError as error:
        raise missing_extra("transformers", "Hugging Face's classifiers") from error
    try:
        itself = AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False, backend="pil")
        fields: dict[str, Any] = itself.to_dict()
        preprocess = _preprocess(fields, subject)
        normalise, channels = _normalise(itself, preprocess.size, subject)
    except InputError:
        raise
    except Exception as error:  # a foreign configuration makes transformers raise what it likes
        why = f"has a processor that cannot be used ({shorten(f'{type(error).__name__}: {error}', 160)})"
        raise InputError(subject, why, "save it again with `processor.save_pretrained(folder)`") from error
    return Processor(preprocess, normalise, channels, itself)


def _preprocess(fields: dict[str, Any], subject: object) -> Preprocess:
    """Resize and crop in our words."""
    if not fields.get("do_resize", True):
        raise InputError(subject, "has a processor that does not resize", "give one whose do_resize is true")
    resample = fields.get("resample")
    method = _METHODS.get(2 if resample is None else int(resample))
    if method is None:
        why = f"resizes with method {resample}, and only bilinear (2) and bicubic (3) are the same everywhere"
        raise InputError(subject, why, "set `resample` in its preprocessor_config.json to what loses least, and try it there")
    size = dict(fields.get("size") or {})
    crop = fields.get("crop_size") if fields.get("do_center_crop") else None
    edge = size.get("shortest_edge")
    if edge and fields.get("crop_pct"):
        side, resized, both = int(edge), int(edge / fields["crop_pct"]), edge >= _WARPED_FROM
        resized = side if both else resized
    else:
        both, resized = not edge, int(edge or _square(size, "size", subject))
        side = _square(dict(crop), "crop_size", subject) if crop else resized
        if edge and not crop:
            raise InputError(
                subject, "keeps a picture's shape (shortest_edge without a crop)", "set do_center_crop in its processor"
            )
    if side > resized:
        raise InputError(subject, f"crops {side} pixels out of {resized}", "fix its preprocessor_config.json")
    resize = f"{'both sides' if both else 'shortest side'}, {method}, antialiased"
    crop_from = None if resized == side else resized
    return Preprocess.of({"size": side, "resize": resize, "resized": crop_from, "crop": "centre, rounded down"})


def _square(size: dict[str, Any], key: str, subject: object) -> int:
    height, width = size.get("height"), size.get("width")
    if not height or height != width:
        raise InputError(subject, f"has a {key} of {size}, which is no square", "give a model that takes squares")
    return int(height)


def _normalise(itself: Any, side: int, subject: object) -> tuple[Normalise, tuple[int, ...]]:
    """What it makes of black and of each full color: a factor and a shift for each channel, in whichever order.

    Asked of the processor and not read from its keys, because versions and models differ in which keys they heed.
    """
    colours = np.zeros((1 + _CHANNELS, side, side, _CHANNELS), np.uint8)
    for channel in range(_CHANNELS):
        colours[1 + channel, ..., channel] = 255
    pictures = [Image.fromarray(colour) for colour in colours]
    made = itself(images=pictures, do_resize=False, do_center_crop=False, return_tensors="np")["pixel_values"]
    values = np.asarray(made, np.float64)
    if values.shape[1:] != (_CHANNELS, side, side) or np.ptp(values, axis=(2, 3)).max() > _EXACT:
        raise InputError(subject, "does more to pixels than scale and shift them", "export it to ONNX, with that in the graph")
    black, gains = values[0, :, 0, 0], values[1:, :, 0, 0] - values[0, :, 0, 0]  # gains[color, output]
    channels = tuple(int(index) for index in np.abs(gains).argmax(axis=0))
    picked = gains[list(channels), range(_CHANNELS)]
    if sorted(channels) != [0, 1, 2] or np.abs(gains).sum() - np.abs(picked).sum() > _EXACT or picked.min() <= 0:
        raise InputError(subject, "mixes colors", "export it to ONNX, with that in the graph")
    std, mean = 1 / picked, -black / picked
    positions = [channels.index(channel) for channel in range(_CHANNELS)]
    return Normalise("its processor's", tuple(mean[positions].tolist()), tuple(std[positions].tolist())), channels
