"""A head from the page becomes an ordinary ONNX classifier that answers as it did there, or nothing is registered."""

from __future__ import annotations

import copy
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "data" / "importing")]
from foreign_world import TF_PYTHON
from odd_pictures import quiet
from taught_world import LABELS, WIDTH, Handover, base_bundle, network, teach, zipped

from pipelines.data.build import Dealing, write_dataset
from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet
from pipelines.data.importing.open import opened
from pipelines.job.jobfile import Data, Split
from pipelines.training.foreign import taught as module
from pipelines.training.foreign.bring import Bringer
from pipelines.training.foreign.keras_file import World
from pipelines.training.foreign.options import Options
from pipelines.training.foreign.recognise import recognise
from pipelines.training.foreign.taught import bundle_of, opened_taught
from pipelines.training.foreign.taught_network import cut_network, width_of
from pipelines.training.register import NamedModel, Registration
from registry.errors import InputError, IntegrityError, ModelyardError, NotFoundError
from registry.events import Exported
from registry.memory import MemoryLedger
from serving.bundle.bundle import Bundle
from serving.bundle.variants import variant_spec
from serving.export.build import build_bundle
from serving.export.card import Facts
from serving.export.reference import Reference
from serving.export.request import ExportRequest, Tools
from serving.export.subprocess_job import Bounds

BOUNDS = Bounds(300, 8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return base_bundle(tmp_path_factory.mktemp("base") / "bundle")


@pytest.fixture(scope="module")
def handover(bundle: Bundle) -> Handover:
    return teach(bundle)


@pytest.fixture(scope="module")
def data(handover: Handover, tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    folder = tmp_path_factory.mktemp("data")
    with opened(handover.write(folder / "hand-taught.zip"), Data()) as source:
        return write_dataset(source, folder / "hand", Dealing(Split()), quiet)


def ledger_with(*bundles: Bundle) -> MemoryLedger:
    ledger = MemoryLedger()
    for bundle in bundles:
        about = {"model": bundle.index.model, "version": bundle.index.version, "created_ms": 1, "digest": "1" * 64}
        facts = {"bundle": bundle.index.digest, "path": str(bundle.folder), "megabytes": 0.1}
        ledger.append(Exported(**about, **facts, parity=[], latency=None))
    return ledger


def registered(path: Path, data: DataSet, bundle: Bundle | None, work: Path, options: Options | None = None) -> Any:
    """What `modelyard register` would register, and what it said on the way; nothing of MLflow is asked before that."""
    spoken, made = list[str](), list[Any]()

    class Trying(Registration):
        def _log(self, job: Any, data: DataSet, info: Any, folders: Any, params: Any) -> Any:
            answers = Reference(folders[0], info, TF_PYTHON).probabilities(list(data.files(data.rows("test"))))
            made.append((info, params, answers, onnx.load(folders[0] / "model.onnx")))

    def never(*_: object) -> Any:
        raise AssertionError("asked too early")

    ledger = ledger_with(bundle) if bundle else MemoryLedger()
    trying = Trying(never, never, never, DatasetCatalog(work), World(TF_PYTHON, BOUNDS), spoken.append, lambda: ledger)
    trying.register(NamedModel("hand"), str(path), data, options or Options())
    return *made[0], spoken


def test_it_is_registered_as_it_answered_in_the_page(handover: Handover, bundle: Bundle, data: DataSet, tmp_path: Path) -> None:
    path = handover.write(tmp_path / "hand-taught.zip")
    info, params, answers, model, spoken = registered(path, data, bundle, tmp_path)
    assert (info.labels, info.framework, info.trainer) == (sorted(LABELS), "onnx", "taught")
    assert info.preprocess == bundle.preprocess
    assert {
        "format": "taught",
        "base": "hand/7",
        "base_bundle": bundle.index.digest,
        "base_model_digest": "1" * 64,
        "page_accuracy": f"{handover.document['training']['accuracy']:.4f}",
        "page_held_out": "take-004, take-008, take-012",
        "page_images": "36",
    }.items() <= params.items()
    assert (answers.argmax(1) == data.targets(data.rows("test"))).all()
    by_source = {check["file"]: check["probabilities"] for check in handover.document["checks"]}
    order = [LABELS.index(label) for label in info.labels]
    both = [(row, by_source[r.source]) for row, r in zip(answers, data.rows("test"), strict=True) if r.source in by_source]
    for ours, theirs in both:
        assert np.abs(ours - np.asarray(theirs)[order]).max() < 1e-5
    assert any("answers as in the page on 9 pictures: agreement 1.000" in line for line in spoken)
    assert [output.name for output in model.graph.output] == ["probabilities"]
    assert "Gather" not in {node.op_type for node in model.graph.node}, "it could not be taught again in a page"


def test_it_is_said_how_much_of_the_test_split_the_page_trained_on(
    handover: Handover, bundle: Bundle, data: DataSet, tmp_path: Path
) -> None:
    """Splits are dealt here, and the page held out takes of its own: a score on the test split is not of unseen pictures."""
    _, params, *_, spoken = registered(handover.write(tmp_path / "x.zip"), data, bundle, tmp_path)
    held_out = handover.document["training"]["held_out"]
    rows = data.rows("test")
    seen = sum(row.source.split("/")[1] not in held_out for row in rows)
    assert params["test_trained_on"] == f"{seen} of {len(rows)}"
    assert f"of the test split the page trained on {seen} of {len(rows)} pictures" in spoken


def refused(path: Path, data: DataSet, bundle: Bundle | None, work: Path, kind: type[ModelyardError], why: str) -> None:
    with pytest.raises(kind, match=why) as caught:
        registered(path, data, bundle, work)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_head_that_is_not_the_one_that_answered_is_refused(
    handover: Handover, bundle: Bundle, data: DataSet, tmp_path: Path
) -> None:
    head, checks = handover.document["head"], handover.document["checks"]
    kernel = np.asarray(head["kernel"]).reshape(WIDTH, 3)
    others = {
        "two classes swapped": {"head": {**head, "kernel": kernel[:, [1, 0, 2]].ravel().tolist()}},
        "half as much again": {"head": {"kernel": (kernel * 1.5).ravel().tolist(), "bias": head["bias"]}},
        "features in another order": {"head": {**head, "kernel": kernel[::-1].ravel().tolist()}},
        "another bias": {"head": {**head, "bias": [head["bias"][0] + 4, *head["bias"][1:]]}},
        "answers of other pictures": {
            "checks": [{**check, "file": other["file"]} for check, other in zip(checks, checks[3:] + checks[:3], strict=True)]
        },
    }
    for name, changes in others.items():
        path = handover.write(tmp_path / f"{name}.zip", **changes)
        refused(path, data, bundle, tmp_path, IntegrityError, "answers otherwise here than in the page")


def test_another_network_under_the_same_name_is_refused(handover: Handover, data: DataSet, tmp_path: Path) -> None:
    other = base_bundle(tmp_path / "other", network(seed=1))
    base = {**handover.document["base"], "bundle": other.index.digest}
    path = handover.write(tmp_path / "x.zip", base=base)
    refused(path, data, other, tmp_path, IntegrityError, "answers otherwise here than in the page")


def test_a_bundle_that_is_not_here_is_named_with_what_to_do(
    handover: Handover, bundle: Bundle, data: DataSet, tmp_path: Path
) -> None:
    path = handover.write(tmp_path / "x.zip")
    short = bundle.index.digest[:12]
    why = rf"was taught with hand/7 \(bundle {short}\), which is not in this home; register it in the home that exported"
    refused(path, data, None, tmp_path, NotFoundError, why)
    gone = copy.copy(bundle)
    gone.folder = tmp_path / "gone"
    refused(path, data, gone, tmp_path, NotFoundError, r"not in this home; export hand/7 again")
    base = {**handover.document["base"], "model": "another"}
    refused(handover.write(tmp_path / "y.zip", base=base), data, bundle, tmp_path, NotFoundError, "was taught with another/7")


def test_a_bundle_that_was_changed_is_not_used(handover: Handover, data: DataSet, tmp_path: Path) -> None:
    bundle = base_bundle(tmp_path / "bundle")
    (bundle.folder / "model.tensor.onnx").write_bytes(network(seed=1).SerializeToString())
    with pytest.raises(IntegrityError, match=r"model\.tensor\.onnx"):
        registered(handover.write(tmp_path / "x.zip"), data, bundle, tmp_path)


def test_a_kernel_of_another_width_is_named_with_both(
    handover: Handover, bundle: Bundle, data: DataSet, tmp_path: Path
) -> None:
    head = {**handover.document["head"], "kernel": [0.5] * 30}
    path = handover.write(tmp_path / "x.zip", head=head)
    refused(path, data, bundle, tmp_path, InputError, f"has a head for 10 features, and hand/7 gives {WIDTH}")


def test_other_classes_than_the_data_sets_are_refused(
    handover: Handover, bundle: Bundle, data: DataSet, tmp_path: Path
) -> None:
    text = json.dumps(handover.document).replace(json.dumps(LABELS[1]), json.dumps("other"))
    path = zipped(tmp_path / "x.zip", {**handover.pictures, "taught.json": text.encode()})
    refused(path, data, bundle, tmp_path, InputError, "import the same file first, under the same name")


@pytest.mark.parametrize("option", [{"labels": ("a", "b")}, {"outputs": "logits"}, {"layout": "nhwc"}, {"resize": "both"}])
def test_options_for_what_the_file_says_are_refused(
    option: dict[str, Any], handover: Handover, bundle: Bundle, data: DataSet, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="is not for a file from the page"):
        registered(handover.write(tmp_path / "x.zip"), data, bundle, tmp_path, Options(**option))


def test_a_picture_of_the_check_that_is_not_there_is_one_line(
    handover: Handover, bundle: Bundle, data: DataSet, tmp_path: Path
) -> None:
    name = handover.document["checks"][0]["file"]
    pictures = {file: content for file, content in handover.pictures.items() if file != name}
    path = Handover(handover.document, pictures).write(tmp_path / "x.zip")
    refused(path, data, bundle, tmp_path, InputError, "which is not in it")
    path = zipped(tmp_path / "y.zip", {**handover.pictures, "../x.jpg": b"x", "taught.json": b"{}"})
    refused(path, data, bundle, tmp_path, InputError, "points out of it")


def test_a_zip_is_taken_for_a_taught_one_by_its_document_alone(handover: Handover, tmp_path: Path) -> None:
    assert recognise(handover.write(tmp_path / "a.zip")) == "taught"
    assert recognise(zipped(tmp_path / "b.ZIP", {"hand/taught.json": b"{}"})) == "taught"
    for members in ({"a.txt": b""}, {"a/b/taught.json": b"{}"}, {"taught.json.txt": b"{}"}):
        with pytest.raises(InputError, match=r"has no taught\.json, so it is not from the page"):
            recognise(zipped(tmp_path / "c.zip", members))
    with pytest.raises(InputError, match=r"is a Keras model, and is named \.zip"):
        recognise(zipped(tmp_path / "d.zip", {"config.json": b"{}", "metadata.json": b"{}"}))
    (tmp_path / "e.zip").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(InputError, match="a damaged zip archive"):
        recognise(tmp_path / "e.zip")


def test_only_a_network_of_8_bit_weights_may_be_further_off(handover: Handover, data: DataSet, tmp_path: Path) -> None:
    for number, (files, most) in enumerate(
        {
            ("tfjs/uint8/model.json",): module.MOST_OF_BYTES,
            ("tfjs/uint8/model.json", "tfjs/float16/model.json"): module.MOST_DIFFERENCE,
        }.items()
    ):
        bundle = base_bundle(tmp_path / str(number), None, *files)
        base = {**handover.document["base"], "bundle": bundle.index.digest}
        path, work = handover.write(tmp_path / f"{number}.zip", base=base), tmp_path / f"work{number}"
        work.mkdir()
        with opened_taught(path, work, data, partial(bundle_of, ledger_with(bundle)), path) as taught:
            assert taught.most == most


@pytest.mark.parametrize("variants", [("onnx", "onnx-tensor"), ("onnx",)])
def test_a_version_that_was_taught_is_exported_and_taught_again(
    variants: tuple[str, ...], handover: Handover, bundle: Bundle, data: DataSet, tmp_path: Path
) -> None:
    """From the bundle that an export makes: by its network for tensors, or by the one for images, cut behind the preprocessing."""
    path, files = handover.write(tmp_path / "x.zip"), list(data.files(data.manifest.frames))
    bringer = Bringer(tmp_path, World(TF_PYTHON, BOUNDS), Options(), lambda _: None)
    with opened_taught(path, tmp_path, data, partial(bundle_of, ledger_with(bundle)), path) as taught:
        brought = bringer.package(taught.model, taught.about, data, "x")
    reference = Reference(brought.folder, brought.info, TF_PYTHON)
    facts, specs = Facts("again/1", "0" * 64, None, None), [variant_spec(name) for name in variants]
    tools = Tools(TF_PYTHON, "node", tmp_path, BOUNDS)
    built = build_bundle(ExportRequest(reference, facts, specs, files, files), tmp_path / "bundle", tools, lambda _: None)
    assert all(row.kept for row in built.parity)
    assert width_of(cut_network(built.bundle, "x"), "x") == WIDTH
    base = {"model": built.bundle.index.model, "version": 1, "bundle": built.bundle.index.digest}
    path = handover.write(tmp_path / "y.zip", base=base)
    _, params, _, model, _ = registered(path, data, built.bundle, tmp_path)
    assert params["base"] == "again/1"
    assert [node.op_type for node in model.graph.node].count("Softmax") == 1
