"""The job file that `modelyard init` writes: what most people need, with every choice explained."""

from __future__ import annotations

from pathlib import Path

from registry.errors import InputError
from registry.files import write_atomic

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
  - {kind: torch, arch: small_cnn, epochs: 14, imgsz: 64}
  - {kind: yolo, arch: yolov8n-cls, epochs: 14, imgsz: 64}      # Ultralytics is AGPL-3.0
  # - {kind: keras, epochs: 14, imgsz: 64}                      # trains in the TensorFlow world

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
    - {kind: size, max_mb: 20}
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


def write_job_file(path: Path, *, force: bool) -> None:
    """Write the template; an existing file is kept unless `force` is given."""
    if path.exists() and not force:
        raise InputError(path, "exists already", "edit it, or replace it with --force")
    write_atomic(path, TEMPLATE.encode())
