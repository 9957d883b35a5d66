"""What a test's libraries change for the whole process does not reach the tests after it."""

from __future__ import annotations

import sys

import PIL.Image
import pytest


def opens_as_pillow_does() -> bool:
    return PIL.Image.open.__module__ == "PIL.Image"


def test_a_library_replaces_how_pictures_are_opened() -> None:
    if "ultralytics" in sys.modules:  # another test of this process imported it: its own replacement is at hand
        from ultralytics.utils import patches

        PIL.Image.open = patches.image_open
    else:
        PIL.Image.open = pytest.fail
    assert not opens_as_pillow_does()


def test_the_next_test_opens_them_as_ever() -> None:
    assert opens_as_pillow_does()
