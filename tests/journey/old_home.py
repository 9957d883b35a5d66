"""Writes a home as commit 861f1d7 left it, the last before the folders and names of the code changed, to be opened by today's.

How it was derived: `make setup` in a worktree of that commit; there `modelyard frames`, `up`, `train`, `evaluate`, `promote
hand/1 staging`, `promote hand/1 production`, and a second `train` that the gates refused, with a torch trainer, an ONNX
export and a local endpoint; then `up` was ended. What lay in that home is written here out of literal facts, without our
code, so that it cannot follow when our code changes; field by field, the two have the same. What is MLflow's own is made
with MLflow. Beyond the real one there are a version in staging, a run that was killed, and events of every other kind.

Left out is what is only looked at: logs, plots, Great Expectations' pages, and the copies of bundle, scores and parity on
the training runs. The models' programs are a line of text: they are compared and never run, and what serves is an ONNX
graph of five nodes that names a picture's colour.

The commit's own code accepts such a home:

    git worktree add --detach /tmp/old 861f1d7 && make -C /tmp/old setup
    .venv/bin/python tests/journey/old_home.py /tmp/old-home
    cd /tmp && m=/tmp/old/.venv/bin/modelyard
    $m ledger verify --home old-home; $m history glove --home old-home; $m costs --by model --home old-home
    $m up --home old-home --mlflow-port 0 --no-dashboard & sleep 60
    $m status --home old-home; $m verify hand/1 --home old-home; $m history hand --home old-home
    $m costs --home old-home; $m ledger verify --home old-home
    $m predict hand@production old-home/datasets/hand/test/red/clip3-00000.jpg --home old-home; kill %1

and would have written each row's body to the letter, which /tmp/old/.venv/bin/python finds in /tmp/old:

    from registry.ledger.store import open_ledger; from registry.digests import canonical
    for row in open_ledger("sqlite:////tmp/old-home/ledger.db").entries():
        assert canonical(row.event.model_dump(mode="json")).decode() == row.row.body
"""

from __future__ import annotations

import io
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from old_events import LABELS, METRICS, SPENT, Story, Version
from old_glove import write_glove
from old_ledger import OldLedger, digest_of, key_id, sha256, sign, write_json
from old_mlflow import OldServer
from PIL import Image

COLOURS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}
SURE, OTHER = 0.909443, 0.045279  # softmax of 3, 0 and 0
URL = "http://127.0.0.1:39311"
PREPROCESS = {"size": 32, "layout": "NCHW", "resize": "shortest side, bilinear, antialiased", "crop": "centre"}
PREPROCESS |= {"scale": "1/255", "decode": "full"}
BUNDLE_TOOLS = {"python": "3.11.7", "modelyard": "0.1.0", "onnx": "1.23.2", "onnxruntime": "1.32.0", "onnxscript": "0.7.2"}
BUNDLE_TOOLS |= {"torch": "2.14.1", "pillow": "13.0.0", "numpy": "2.4.6"}
CARD = """# hand/{number}

An image classifier (torch, small_cnn) for: blue, green, red.

- model bytes: `{digest}`
- data set: `{dataset}`
- input: image file, resized and cropped to 32 x 32 px (`preprocess.json`)
- licence: not stated
- training cost: ${usd}

## Data

`hand`: 9 images of 9 clips in 3 classes. The images of one clip are all in one split.

## Held-out results

Top-1 {top1:.3f} on 3 images of 3 clips that training never saw.

## Exports

| variant | images | agreement | largest difference | in the bundle |
|---|---|---|---|---|
| onnx | 3 | 1.000 | 2e-04 | yes |

## Limits

It was tested on clips like those it was trained on. It always names one of its classes, also for a picture
that shows none of them.
"""


def picture(label: str) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (48, 40), COLOURS[label]).save(data, "JPEG")
    return data.getvalue()


def write_dataset(home: Path) -> str:
    """A frame of each of nine clips, the manifest, and the note of where a data set of that digest lies."""
    folder, frames = home / "datasets" / "hand", []
    for label in LABELS:
        for number, split in enumerate(("train", "val", "test"), 1):
            name, data = f"{split}/{label}/clip{number}-00000.jpg", picture(label)
            (folder / name).parent.mkdir(parents=True)
            (folder / name).write_bytes(data)
            clip = {"clip": f"{label}/clip{number}.mp4", "clip_sha256": sha256(f"{label}/clip{number}".encode())}
            frames.append(
                {"file": name, "sha256": sha256(data), **clip, "label": label, "split": split, "width": 48, "height": 40}
            )
    split = {"by": "clip", "val": 0.2, "test": 0.2, "seed": 0}
    manifest = {"labels": LABELS, "source": "clips", "split": split, "frames": frames}
    digest = digest_of(manifest)
    write_json(folder / "manifest.json", manifest)
    write_json(home / "datasets" / "by-digest" / f"{digest}.json", {"folder": str(folder.absolute())})
    warning = {"outcome": "warning", "text": "clips_of_class_in_split: column values to be between (min_value 3.0): 9 do not"}
    spread = {name: {"edges": [110.5, 120.5, 130.5], "frames": [4, 5]} for name in ("brightness", "sharpness")}
    write_json(home / "reports" / "hand" / "report.json", {"dataset": digest, "findings": [warning], "spread": spread})
    return digest


def network(digest: str, dataset: str) -> bytes:
    """`images` of bytes → `probabilities`: the mean colour, three times as large, through a softmax."""
    from onnx import TensorProto, helper, numpy_helper

    constants = {
        "white": np.array(255, np.float32),
        "sides": np.array([1, 2], np.int64),
        "weights": np.fliplr(np.eye(3, dtype=np.float32)) * np.float32(3),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["numbers", "white"], ["scaled"]),
        helper.make_node("ReduceMean", ["scaled", "sides"], ["colour"], keepdims=0),
        helper.make_node("MatMul", ["colour", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    into = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", "height", "width", 3])
    out = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 3])
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "modelyard", [into], [out], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10, producer_name="modelyard")
    helper.set_model_props(
        model,
        {
            "modelyard.model_sha256": digest,
            "modelyard.dataset_sha256": dataset,
            "modelyard.trainer": "torch small_cnn",
            "modelyard.task": "classify",
            "modelyard.labels": '["blue", "green", "red"]',
            "license": "not stated",
        },
    )
    return model.SerializeToString()


def write_bundle(home: Path, number: int, manifest: dict[str, str], dataset: str) -> tuple[str, str, float]:
    """The sealed and signed bundle, and its smoke-test pictures beside it: its digest, folder and size in MB."""
    digest, work = digest_of(manifest), home / "bundles" / "hand" / "work"
    write_json(work / "preprocess.json", PREPROCESS)
    write_json(work / "labels.json", LABELS)
    facts = {"number": number, "digest": digest, "dataset": dataset, "usd": SPENT[number][1], "top1": METRICS[number]["top1"]}
    (work / "card.md").write_text(CARD.format(**facts))
    (work / "model.onnx").write_bytes(network(digest, dataset))
    files = {path.name: sha256(path.read_bytes()) for path in sorted(work.iterdir())}
    megabytes = sum(path.stat().st_size for path in work.iterdir()) / 1e6
    index = {"model": "hand", "version": number, "model_digest": digest, "files": files, "tools": BUNDLE_TOOLS}
    write_json(work / "bundle.json", index)
    signed = sign(sha256(b"modelyard bundle\n" + (work / "bundle.json").read_bytes()))
    write_json(work / "bundle.sig", {"key": key_id(), "signature": signed})
    folder = work.rename(work.with_name(f"{number}-{digest_of(files)[:12]}"))
    smoke, images = folder.with_name(f"{folder.name}.smoke"), []
    for position, label in enumerate(LABELS):
        probabilities = [SURE if label == other else OTHER for other in LABELS]
        images.append({"file": f"{position:02d}.jpg", "truth": label, "probabilities": probabilities})
    write_json(smoke / "expected.json", {"labels": LABELS, "images": images})
    for image in images:
        (smoke / image["file"]).write_bytes(picture(image["truth"]))
    return digest_of(files), str(folder.absolute()), megabytes


def write_killed_training(home: Path, run_id: str) -> None:
    """The note of a run whose process was killed after 36 seconds."""
    price = {"provider": "local", "product": "", "hardware": "this machine", "usd_per_hour": "0.05", "billed_seconds": 1}
    price |= {"least_seconds": 0, "as_of": "2026-11-22", "source": "assumed; set MODELYARD_LOCAL_USD_PER_HOUR"}
    event = {"model": "hand", "version": 0, "created_ms": 0, "digest": "", "kind": "training_failed", "trainer": "torch"}
    event |= {"run_id": run_id, "seconds": 0.0, "hardware": "local: this machine", "usd": "0", "price_as_of": "2026-11-22"}
    event |= {"reason": "its process was killed", "actor": "ada", "proven": False}
    began = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
    note = {"pid": 2**30, "born": began - 5, "began": began, "price": price, "event": event}
    write_json(home / "underway" / f"{run_id}.json", note)
    os.utime(home / "underway" / f"{run_id}.json", (began + 36, began + 36))


def write_old_home(home: Path) -> None:
    """All of it, at a path where there is nothing yet."""
    home.mkdir(parents=True)
    dataset, ledger = write_dataset(home), OldLedger(datetime(2026, 10, 1, tzinfo=UTC))
    server, versions = OldServer(home, dataset), list[Version]()
    for number in (1, 2, 3):
        run_id = server.train(number)
        created_ms, manifest = server.register(number, run_id)
        bundle = write_bundle(home, number, manifest, dataset) if number < 3 else None
        versions.append(Version(number, created_ms, run_id, manifest, dataset, bundle))
    gate_runs = {key: server.gate_run(*key) for key in ((1, "staging"), (1, "production"), (2, "staging"), (3, "staging"))}
    write_glove(ledger)
    rows = Story(ledger, gate_runs).write(*versions, URL)
    for key, row in rows.items():
        server.show_verdict(gate_runs[key], ledger.rows[row - 1])
    server.hold(versions, rows)
    server.subscribe()
    ledger.write(home)
    bundle, source, _ = versions[0].bundle
    live = {"name": "hand-production", "model": "hand", "version": 1, "bundle": bundle, "url": URL, "handle": str(2**30)}
    write_json(home / "deployments" / "hand-production.json", live | {"source": source})
    write_killed_training(home, server.train(4, status="FAILED"))
    (home / "up.lock").touch()
    for folder in ("leases", "logs"):
        (home / folder).mkdir()


if __name__ == "__main__":
    write_old_home(Path(sys.argv[1]))
