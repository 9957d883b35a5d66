"""A Hugging Face image classifier: a folder with `config.json`, `preprocessor_config.json` and `model.safetensors`.

Its processor's resize becomes our preprocessing, its normalisation goes into the graph, and both are compared with the
processor itself on the data set's files. Weights are read from safetensors only, and no code of the folder is run.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.training.foreign.contract import About, Head, Scores
from pipelines.training.foreign.hf_processor import Processor, read_processor
from pipelines.training.foreign.onnx_file import names_of
from pipelines.training.foreign.options import Tensors
from pipelines.training.foreign.torch_program import WithHead
from registry.errors import InputError, IntegrityError, missing_extra, shorten
from registry.mlflow.package import package_torch
from serving.bundle.decode import decode
from serving.bundle.modelinfo import ModelInfo
from serving.bundle.preprocess import stack_pixels
from serving.export.program import cause_of
from serving.export.reference import Answers

_BATCH = 32
_AGREEMENT, _SAME = 0.98, 2e-3
_LIKE_ANOTHER, _NO_DIFFERENCE = 0.1, 1e-3
"""Pixels of one picture may differ by so much of what those of two pictures do."""
_INDEX = "model.safetensors.index.json"
_SAVE = "save it with `model.save_pretrained(folder)` and `processor.save_pretrained(folder)`"


class HuggingFaceModel:
    """A classifier in a folder of transformers' layout. `work` is a scratch folder."""

    def __init__(self, folder: Path, work: Path, subject: object = None) -> None:
        self._subject = subject or folder
        own = _copy(folder, work / "hugging_face", self._subject)
        config = _read_config(own, self._subject)
        self._network = _load(own, config, self._subject)
        self.processor: Processor = read_processor(own, self._subject)
        preprocess = self.processor.preprocess
        labels = names_of(config.get("id2label"))
        arch = str((config.get("architectures") or [config.get("model_type")])[0])
        self.about = About("hugging_face", arch, preprocess.size, labels, self.processor.normalise, preprocess)

    def answers(self, batches: Sequence[Tensors]) -> list[Scores]:
        """Torch's logits."""
        return [self._logits(tensors[:, list(self.processor.channels)]) for tensors in batches]

    def package(self, folder: Path, info: ModelInfo, head: Head) -> ModelInfo:
        """The network from pixels in 0..1 to probabilities, as a torch.export program."""
        whole = WithHead(_Logits(self._network, self.processor.channels), head.normalise, head.order, softmax=head.softmax)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                package_torch(whole.eval(), folder, info.preprocess.size, [(-1, len(info.labels))])
        except InputError:
            raise
        except Exception as error:  # torch.export fails with whatever the network does
            why = f"cannot be written as a program ({cause_of(error)})"
            raise InputError(self._subject, why, "export it to ONNX with Optimum, and register that") from error
        return info.changed(framework="torch")

    def compare(self, ours: Answers, files: Sequence[Path], head: Head) -> str:
        """Hold our answers on image files to those of its own processor; a sentence about it.

        The control is the next picture's: a comparison that it passes as well would say nothing. Raises IntegrityError where
        they differ.
        """
        theirs = np.concatenate([self.processor.pixels(decode(file.read_bytes(), str(file))) for file in files])
        mine = head.normalise.apply(_scaled(stack_pixels(self.processor.preprocess, files)))[:, list(self.processor.channels)]
        pixels, control = _apart(mine, theirs), _apart(mine, np.roll(theirs, 1, axis=0))
        logits = torch.from_numpy(self._logits(theirs)).softmax(1).numpy()
        wanted = logits[:, list(head.order)] if head.order else logits
        agreement = float((wanted.argmax(1) == ours.argmax(1)).mean())
        difference = float(np.median(np.abs(wanted - ours).max(axis=1)))
        if agreement < _AGREEMENT or difference > _SAME or pixels > max(_NO_DIFFERENCE, _LIKE_ANOTHER * control):
            why = f"does not answer as its own processor does (agreement {agreement:.3f}, typical difference {difference:.2g})"
            raise IntegrityError(self._subject, why, "report it with its preprocessor_config.json; or export it to ONNX")
        return (
            f"compared with its own processor on {len(files)} pictures: agreement {agreement:.3f}, typical difference "
            f"{difference:.1e}; pixels differ by {pixels:.1e}, those of another picture by {control:.1e}"
        )

    def _logits(self, tensors: NDArray[np.float32]) -> Scores:
        try:
            with torch.no_grad():
                parts = [
                    self._network(pixel_values=part).logits
                    for part in torch.from_numpy(np.ascontiguousarray(tensors)).split(_BATCH)
                ]
        except Exception as error:  # a network that takes another size than its processor makes
            why = f"cannot be run on what its processor makes ({cause_of(error)})"
            raise InputError(self._subject, why, "fix its preprocessor_config.json") from error
        return torch.cat(parts).float().numpy()


class _Logits(nn.Module):
    """A network of transformers that gives its logits alone."""

    def __init__(self, network: nn.Module, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.network, self.channels = network, list(channels)

    def forward(self, images: Tensor) -> Tensor:
        images = images if self.channels == [0, 1, 2] else images[:, self.channels]
        return self.network(pixel_values=images).logits


def _scaled(pixels: NDArray[np.uint8]) -> Tensors:
    return pixels.astype(np.float32).transpose(0, 3, 1, 2) / np.float32(255)


def _apart(ours: Tensors, theirs: Tensors) -> float:
    return float(np.median(np.abs(ours - theirs).mean(axis=(1, 2, 3)))) if ours.shape == theirs.shape else float("inf")


def _copy(folder: Path, own: Path, subject: object) -> Path:
    """Only the files that are wanted: what else lies in the folder is never opened."""
    weights = sorted(folder.glob("model*.safetensors"))
    if not weights:
        pickles = sorted([*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.h5"), *folder.glob("*.msgpack")])
        why = f"has no model.safetensors{f', only {pickles[0].name}, which is not read here' if pickles else ''}"
        raise InputError(subject, why, "save it again: `model.save_pretrained(folder, safe_serialization=True)`")
    if not (folder / "preprocessor_config.json").is_file():
        raise InputError(subject, "has no preprocessor_config.json, so nobody knows what it was given", _SAVE)
    own.mkdir(parents=True)
    for file in [*weights, folder / "config.json", folder / "preprocessor_config.json", folder / _INDEX]:
        if file.is_file():
            shutil.copyfile(file, own / file.name)
    return own


def _read_config(folder: Path, subject: object) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except ValueError as error:
        raise InputError(subject, f"has a config.json that cannot be read ({shorten(error, 80)})", _SAVE) from error
    names = [str(name) for name in config.get("architectures") or []] if isinstance(config, dict) else []
    if not names or not names[0].endswith("ForImageClassification"):
        what = f"is a {names[0]}" if names else "names no architecture"
        raise InputError(subject, f"{what}, not an image classifier", "give a model of a …ForImageClassification class")
    if "auto_map" in config:
        raise InputError(subject, "brings code of its own (auto_map), which is not run here", "export it to ONNX")
    return config


def _load(folder: Path, config: dict[str, Any], subject: object) -> nn.Module:
    """The network with all its weights. Raises InputError where some are missing: they would be random."""
    try:
        from transformers import AutoModelForImageClassification
        from transformers.utils import logging
    except ModuleNotFoundError as error:
        raise missing_extra("transformers", "Hugging Face's classifiers") from error
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        network, loading = AutoModelForImageClassification.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation="eager",
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:  # transformers and safetensors raise what they like for a foreign folder
        why = f"cannot be loaded by transformers ({shorten(f'{type(error).__name__}: {error}', 160)})"
        raise InputError(subject, why, _SAVE) from error
    for what in ("missing_keys", "mismatched_keys"):
        if names := sorted(map(str, loading.get(what) or ())):
            kind = what.partition("_")[0]
            raise InputError(
                subject, f"has {kind} weights ({names[0]} and {len(names) - 1} more)", "give the folder of the whole model"
            )
    del config
    return network.eval().requires_grad_(requires_grad=False)
