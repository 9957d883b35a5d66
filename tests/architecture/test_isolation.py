"""What a test's libraries change for the whole process does not reach the tests after it."""

from __future__ import annotations

import sys

import PIL.Image
import pytest

BEFORE = PIL.Image.open


def test_a_library_replaces_how_pictures_are_opened() -> None:
    if "ultralytics" in sys.modules:  # another test of this process imported it: its own replacement is at hand
        from ultralytics.utils import patches

        PIL.Image.open = patches.image_open
    else:
        PIL.Image.open = pytest.fail
    assert PIL.Image.open is not BEFORE


def test_the_next_test_opens_them_as_ever() -> None:
    assert PIL.Image.open is BEFORE
    assert BEFORE.__module__ == "PIL.Image"
