"""The job file that `modelyard init` writes: what most people need, with every choice explained."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from registry.errors import InputError
from registry.files import write_atomic
from registry.refs import check_model_name

TEMPLATE = """\
# What to make, what it must prove, and where it goes. `modelyard schema` prints all keys.
model: hand                        # the registered model's name in MLflow
task: classify

data:
  clips: clips                     # clips/<class>/*.mp4, several clips per class
  # images: photos                 # or photos/<class>/*.jpg; then `group` says which belong together:
  # group: '^(s\\d+)_'              #   all images of one signer, of one room, of one day
  fps: 5                           # frames kept from each second
  split: {by: clip, val: 0.2, test: 0.2}   # frames of one clip never end up on both sides
  # slices: {dark: '/dark_'}       # parts of the test split, by a pattern in the clip's name
  checks: strict                   # a failed data check stops the job

train:                             # one MLflow run and one registered version each
  - {kind: torch}                  # tries pretrained features and a small network; val decides
  - {kind: yolo, arch: yolov8n-cls}  # Ultralytics is AGPL-3.0
  # - {kind: keras}                # trains in the TensorFlow world
  # - {kind: torch, arch: resnet18, weights: imagenet, freeze: none, epochs: 20, imgsz: 224}

gates:                             # what a version must prove before it may hold a stage
  staging:
    - {kind: metric, name: top1, at_least: 0.90}
    - {kind: budget, train_usd: 1.00}
    - {kind: data}                 # the data set passed its checks
  production:
    - {kind: metric, name: top1, at_least: 0.90}
    # - {kind: metric, name: recall, label: thumb, at_least: 0.85}    # of one class
    # - {kind: metric, slice: dark, at_least: 0.80}                   # of one slice, see data.slices
    - {kind: champion, alpha: 0.05, margin: 0.02}  # not worse than what serves now
    - {kind: parity, top1_agreement: 0.99, max_abs_diff: 0.01}
    - {kind: latency, p95_ms: 50}
    - {kind: size, max_mb: 40}
    - {kind: safety}               # no dangerous pickle, no unexpected file
    - {kind: card}                 # the model card is complete
    # - {kind: approval}           # another person than the author: `modelyard approve`
  unproven: block                  # an alias set past the gates is never served; revert also puts it back

export:                            # made when a version reaches staging
  - {kind: onnx}
  - {kind: tfjs, quantize: float16}

deploy:
  production: {kind: local}        # an HTTP process on this machine
"""


@dataclass(frozen=True, slots=True)
class JobChoices:
    """What a job file can be told of the data that lies beside it. `layout` and `notes` become comments.

    `group`: a pattern that the files' names show; it is only proposed in a comment unless `sure`. `own_split`: the folder's
    own split is kept, so there are no shares to choose.
    """

    model: str
    task: Literal["classify", "detect"]
    source: Literal["clips", "images"]
    folder: str
    layout: str
    notes: tuple[str, ...] = ()
    group: str = ""
    group_note: str = ""
    sure: bool = False
    own_split: bool = False


def job_text(choices: JobChoices | None, model: str | None = None) -> str:
    """The template, with what is known filled in. `model`: the name that it is to have."""
    name = model or (choices.model if choices else "hand")
    text = re.sub(r"^model: \S+", lambda _: f"model: {_quoted(name)}", TEMPLATE, count=1, flags=re.MULTILINE)
    if choices is None:
        return text
    text = text.replace("task: classify", f"task: {choices.task}", 1)
    data = re.compile(r"^data:\n.*?(?=^  split:)", re.MULTILINE | re.DOTALL)
    text = data.sub(lambda _: "\n".join(["data:", *_data_lines(choices)]) + "\n", text, count=1)
    if choices.own_split:
        text = re.sub(r"^  split: .*\n", "", text, count=1, flags=re.MULTILINE)
    return _for_detector(text) if choices.task == "detect" else text


def _data_lines(choices: JobChoices) -> list[str]:
    lines = [f"  # {choices.layout}", *(f"  # {note}" for note in choices.notes)]
    lines.append(f"  {choices.source}: {_quoted(choices.folder)}")
    if choices.group:
        lines += [f"  # {choices.group_note}", f"  {'' if choices.sure else '# '}group: {_quoted(choices.group)}"]
    return [
        *lines,
        *(["  fps: 5                           # frames kept from each second"] if choices.source == "clips" else []),
    ]


_DETECTORS = """\
train:                             # one MLflow run and one registered version each
  - {kind: torch, arch: small_detector}
  # - {kind: torch, arch: efficientnet_lite0_detector}          # begins from ImageNet weights
  # - {kind: yolo, arch: yolov8n}                               # Ultralytics is AGPL-3.0

"""
_METRICS = (
    ("name: top1, at_least: 0.90}", "name: map50_95, at_least: 0.50}"),
    (
        "name: recall, label: thumb, at_least: 0.85}    # of one class",
        "name: ap, label: cup, at_least: 0.40}    # of one class",
    ),
    ("{kind: metric, slice: dark,", "{kind: metric, name: map50_95, slice: dark,"),
    ("{kind: champion, alpha: 0.05,", "{kind: champion, metric: map50_95, alpha: 0.05,"),
)


def _for_detector(text: str) -> str:
    """Trainers that make detectors, and what detectors are measured by."""
    train = re.compile(r"^train:.*?(?=^gates:)", re.MULTILINE | re.DOTALL)
    text = train.sub(lambda _: _DETECTORS, text, count=1)
    for ours, theirs in _METRICS:
        text = text.replace(ours, theirs)
    return text


def _quoted(text: str) -> str:
    """A text as YAML reads it back: plain where that is safe. JSON's quotes are YAML's too."""
    plain = re.fullmatch(r"[A-Za-z./][\w./-]*", text, re.ASCII) and text.lower() not in _WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)


_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n", "."}
"""What YAML takes for something other than text."""


def write_job_file(path: Path, *, force: bool, choices: JobChoices | None = None, model: str | None = None) -> None:
    """Write the template; an existing file is kept unless `force` is given. Raises InputError for what names no model."""
    if model is not None:
        check_model_name(model)
    if path.exists() and not force:
        raise InputError(path, "exists already", "edit it, or replace it with --force")
    write_atomic(path, job_text(choices, model).encode())
