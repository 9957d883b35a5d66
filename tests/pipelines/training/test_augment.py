"""Images are varied as far as a training has time to learn from, and stay images."""

from __future__ import annotations

from dataclasses import fields

import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.training.trainers.augment import Augmentation, augment


@given(passes=st.floats(0, 1e5), more=st.floats(0, 1e5), mirror=st.floats(0, 1))
def test_more_passes_are_never_varied_less_and_a_hundred_get_all_of_it(passes: float, more: float, mirror: float) -> None:
    whole = Augmentation(mirror=mirror)
    few, many = (whole.for_passes(count) for count in sorted([passes, more]))
    for part in fields(Augmentation):
        low, high, most = (getattr(how, part.name) for how in (few, many, whole))
        assert low <= high + 1e-12 <= most + 2e-12, part.name
    assert (few.mirror, many.mirror) == (mirror, mirror), "which is the user's word, whatever the budget"
    assert whole.for_passes(100) == whole
    assert whole.for_passes(1) == whole.for_passes(20) != whole


def test_what_comes_out_is_an_image_and_no_two_are_varied_alike() -> None:
    torch.manual_seed(0)
    images = torch.rand(1, 3, 16, 16).expand(8, 3, 16, 16).clone()
    varied = augment(images, Augmentation())
    assert varied.shape == images.shape
    assert varied.min() >= 0
    assert varied.max() <= 1
    assert all(not torch.equal(varied[0], other) for other in varied[1:])
    still = Augmentation(*[0.0] * len(fields(Augmentation)))
    assert torch.allclose(augment(images, still), images, atol=1e-5)
