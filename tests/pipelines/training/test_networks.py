"""Networks by name: what is unknown is refused with what was meant, and what they were trained to see travels with them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from pipelines.job.trainers import TorchTrainer
from pipelines.training.trainers.torch_networks import (
    LITE0,
    Normalised,
    build_network,
    check_arch,
    design,
    last_linear,
    replace_layer,
)
from pipelines.training.trainers.torch_trial import candidates
from registry.errors import InputError, IntegrityError, NotFoundError, UnavailableError


@pytest.mark.parametrize(
    ("arch", "size"),
    [
        ("small_cnn", 64),
        (LITE0, 64),
        ("resnet18", 64),
        ("vit_b_16", 64),
        ("googlenet", 96),
        ("inception_v3", 96),
        ("mobilenetv3_small_050", 64),
    ],
)
def test_each_architecture_gives_logits_in_training_as_otherwise(arch: str, size: int) -> None:
    network = design(arch, "scratch", 3, size).network
    for training in (True, False):
        assert network.train(training)(torch.zeros(2, 3, size, size)).shape == (2, 3)


@pytest.mark.parametrize(
    ("arch", "meant"),
    [("resnet8", "resnet18"), ("small_cn", "small_cnn"), ("efficientnet_lite", "efficientnet_lite"), ("##", "try")],
)
def test_an_unknown_architecture_is_refused_with_the_nearest(arch: str, meant: str) -> None:
    with pytest.raises(InputError, match=meant):
        check_arch(arch, None)


@pytest.mark.parametrize(("arch", "size"), [("inception_v3", 32), ("vit_b_16", 1000), ("alexnet", 32)])
def test_a_size_that_an_architecture_cannot_take_is_refused_before_training(arch: str, size: int) -> None:
    with pytest.raises(InputError, match=rf"arch '{arch}': cannot take images of {size}"):
        check_arch(arch, size)


def test_lite0_knows_imagenet_and_its_normalisation_is_part_of_it() -> None:
    made = design("auto", "imagenet", 2, None)
    assert (made.arch, made.size) == (LITE0, 224)
    fresh = build_network(LITE0, 2, 224)
    assert not torch.equal(next(made.network.parameters()), next(fresh.parameters()))
    seen = Normalised(nn.Identity(), made.mean, made.std)(torch.full((1, 3, 2, 2), 1.0))
    assert torch.allclose(seen, torch.full((1, 3, 2, 2), (255 - 127) / 128))


def test_the_head_is_found_and_replaced() -> None:
    network = design("resnet18", "scratch", 5, 64).network
    path, layer = last_linear(network, "resnet18")
    assert (path, layer.out_features) == ("network.fc", 5)
    replace_layer(network, path, nn.Identity())
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 512)
    with pytest.raises(InputError, match="no linear layer"):
        last_linear(design("squeezenet1_0", "scratch", 5, 64).network, "squeezenet1_0")


def test_weights_come_from_a_file_whose_digest_may_be_pinned(tmp_path: Path) -> None:
    path, source = tmp_path / "small.pth", build_network("small_cnn", 7)
    torch.save({"state_dict": {f"module.{name}": value for name, value in source.state_dict().items()}}, path)
    made = design("small_cnn", str(path), 3, 64)
    assert torch.equal(made.network.state_dict()["network.0.weight"], source.state_dict()["0.weight"])
    assert made.weights.startswith("small.pth (sha256 ")
    with pytest.raises(IntegrityError, match="pins"):
        design("small_cnn", str(path), 3, 64, "0" * 64)
    with pytest.raises(InputError, match=r"fits \d+ of the \d+ tensors"):
        design("resnet18", str(path), 3, 64)


class Payload:
    """Would run code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("ran",)


DAMAGED = [b"", bytes(100), b"not weights", b"root:x:0:0\n" * 9, b"<html></html>", b'{"a": [1]}', bytes(range(256)) * 4]


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_one_line_in_our_words(tmp_path: Path, content: bytes, ending: str) -> None:
    path = tmp_path / f"weights.{ending}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"weights\.\w+: is damaged, or no file of plain tensors; save"):
        design("small_cnn", str(path), 3, 64)


@pytest.mark.parametrize("content", [Payload(), {"a": Payload()}, [1, 2], {"a": 1}, b"not weights"])
def test_a_file_of_anything_but_tensors_is_refused_and_nothing_in_it_runs(
    tmp_path: Path, content: object, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(InputError, match="no file of plain tensors"):
        design("small_cnn", str(path), 3, 64)
    assert "ran" not in capsys.readouterr().out


def test_weights_that_are_not_there_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFoundError, match="is no file of weights"):
        design("small_cnn", "missing.pth", 3, 64)
    with pytest.raises(InputError, match="has no ImageNet weights"):
        design("small_cnn", "imagenet", 3, 64)

    def fail(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("pipelines.training.trainers.torch_networks.get_model", fail)
    with pytest.raises(UnavailableError, match="cannot be fetched"):
        design("resnet18", "imagenet", 3, 64)


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({}, ["efficientnet_lite0 frozen", "small_cnn scratch"]),
        ({"imgsz": 64}, ["small_cnn scratch"]),
        ({"arch": "small_cnn"}, ["small_cnn scratch"]),
        ({"weights": "scratch"}, ["small_cnn scratch"]),
        ({"weights": "imagenet"}, ["efficientnet_lite0 frozen", "efficientnet_lite0 fine-tuned"]),
        ({"freeze": "backbone"}, ["efficientnet_lite0 frozen"]),
        ({"weights": "imagenet", "freeze": "none"}, ["efficientnet_lite0 fine-tuned"]),
        ({"arch": "resnet18", "weights": "imagenet", "freeze": "backbone"}, ["resnet18 frozen"]),
        ({"arch": "resnet18"}, ["resnet18 scratch"]),
    ],
)
def test_what_is_tried_follows_from_the_job(fields: dict[str, object], names: list[str]) -> None:
    assert [f"{way.arch} {way.name}" for way in candidates(TorchTrainer(**fields), 100)] == names


def test_a_large_data_set_is_not_looked_at_by_a_pretrained_network() -> None:
    assert [way.name for way in candidates(TorchTrainer(), 10_000)] == ["scratch"]
