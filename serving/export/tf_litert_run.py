"""LiteRT models' answers in LiteRT's own runtime, in the TensorFlow world: `python -I tf_litert_run.py JOB.json`.

Job: `pixels` (uint8 .npy, `[N, size, size, 3]`), `head` (a detector's, for `raw_boxes.py`, else null), `report`. Each line on
standard input is a model's file; its answers are written to FILE.answers.npz (`answers`: probabilities `[N, classes]`, or
detections `[N, most, 6]` in pixels of the network's input; `ms`: the median of one image's time). For a model that cannot be
run, `failed NAME WHY` is printed, with the file's name alone. One thread, as Modelyard's workers have.
"""

import json
import os
import sys
import time
from pathlib import Path

job = json.loads(Path(sys.argv[1]).read_text())
ours = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # the runtime prints to the C-level standard output; only our own lines belong there
root = str(Path(__file__).absolute().parents[2])
sys.path.append(root)

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from serving.export.raw_boxes import Head, decode

sys.path.remove(root)
images = np.load(job["pixels"], allow_pickle=False)
head = Head(**job["head"]) if job["head"] else None


def answer(network: Interpreter, pixels: np.ndarray) -> np.ndarray:
    """One image's probabilities, or its detections filled up with rows of zeros."""
    runner = network.get_signature_runner("serving_default")
    (output,) = runner(image=pixels[None].astype(np.float32) / np.float32(255)).values()
    if head is None:
        return output[0]
    detections = np.zeros((head.most, 6), np.float32)
    boxes = decode(output[0], head)
    detections[: len(boxes)] = boxes
    return detections


def measure(file: str) -> None:
    """All images through one model."""
    network = Interpreter(file, num_threads=1)
    network.allocate_tensors()
    answer(network, images[0])
    answers, spans = [], []
    for pixels in images:
        began = time.perf_counter()
        answers.append(answer(network, pixels))
        spans.append((time.perf_counter() - began) * 1e3)
    np.savez(f"{file}.answers.npz", answers=np.stack(answers), ms=np.median(spans))


for line in sys.stdin:
    path = line.rstrip("\n")
    try:
        measure(path)
    except (RuntimeError, ValueError) as error:  # the runtime's own, such as a delegate that refuses a network
        print(f"failed {Path(path).name} {' '.join(str(error).split())[:200]}", file=ours, flush=True)
Path(job["report"]).write_text("{}")
