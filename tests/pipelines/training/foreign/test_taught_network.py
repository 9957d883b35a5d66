"""A base's network is cut at its last dense layer or refused, and answers are held to the page's by their scores."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

sys.path.insert(0, str(Path(__file__).parent))
from taught_world import base_bundle, network, softmax

from pipelines.training.foreign.taught import score_difference
from pipelines.training.foreign.taught_network import cut_network
from registry.errors import InputError


def test_the_distance_of_scores_tells_a_wrong_picture_from_lost_bits() -> None:
    """A probability near 1 hides another head, and one near 1/2 is far off for little: the distance is of log-probabilities."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (40, 3))
    near = softmax(logits * (1 + random.normal(0, 1e-3, logits.shape)))
    assert score_difference(near, softmax(logits)) < 2e-3
    assert score_difference(softmax(logits), softmax(logits)) == 0
    assert score_difference(softmax(logits * 1.5), softmax(logits)) > 0.2
    assert score_difference(np.roll(softmax(logits), 1, axis=0), softmax(logits)) > 1
    sure = softmax(logits * 20)
    assert np.isfinite(score_difference(np.zeros((40, 3)), sure))
    assert np.isfinite(score_difference(np.full((40, 3), 1 / 3), np.full((40, 3), 1 / 3)))


HEADS = {
    "a convolution": [helper.make_node("Conv", ["tensor", "w"], ["x"]), helper.make_node("Flatten", ["x"], ["probabilities"])],
    "a sigmoid": [helper.make_node("Flatten", ["tensor"], ["x"]), helper.make_node("Sigmoid", ["x"], ["probabilities"])],
    "nothing": [helper.make_node("Flatten", ["tensor"], ["probabilities"])],
    "two features added": [
        helper.make_node("Flatten", ["tensor"], ["x"]),
        helper.make_node("Relu", ["x"], ["y"]),
        helper.make_node("Add", ["x", "y"], ["probabilities"]),
    ],
}


@pytest.mark.parametrize("end", HEADS)
def test_a_network_without_a_dense_layer_at_its_end_is_one_line(end: str, tmp_path: Path) -> None:
    model = network()
    del model.graph.node[:]
    model.graph.node.extend(HEADS[end])
    with pytest.raises(InputError, match="does not end in a dense layer"):
        cut_network(base_bundle(tmp_path / "bundle", model), "x")
    model.graph.output[0].name = "detections"
    with pytest.raises(InputError, match="that is no classifier"):
        cut_network(base_bundle(tmp_path / "detector", model), "x")
