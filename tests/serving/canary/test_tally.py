"""Exactly the share goes to the canary, and the count outlives the process that counts."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from registry.errors import UnavailableError
from serving.canary.tally import Tally, TrafficCounter, read_tally


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5])
def test_exactly_the_share_goes_to_the_canary(share: float, tmp_path: Path) -> None:
    counter = TrafficCounter("b", share, tmp_path / "tally.json")
    went = [counter.next_is_canary() for _ in range(1000)]
    assert abs(sum(went) - 1000 * share) <= 1
    assert sum(went[:500]) == pytest.approx(sum(went) / 2, abs=1)


def test_a_tally_goes_on_after_a_restart_and_begins_again_with_another_bundle(tmp_path: Path) -> None:
    path = tmp_path / "tally.json"
    first = TrafficCounter("b", 0.5, path)
    first.note("canary", 0.01, failed=False)
    first.compare(same=False)
    first.save()
    again = TrafficCounter("b", 0.5, path)
    assert again.tally == first.tally == read_tally(path)
    assert TrafficCounter("c", 0.5, path).tally == Tally("c")


@pytest.mark.parametrize("damaged", [b"", b"{", b"[]", b"\x80", b'{"bundle": 7}'])
def test_a_damaged_tally_is_none_and_counting_begins_again(damaged: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tally.json"
    assert read_tally(path) is None
    path.write_bytes(damaged)
    assert read_tally(path) is None
    assert TrafficCounter("b", 0.5, path).tally == Tally("b")


def test_a_tally_that_cannot_be_read_now_is_no_tally_of_zero(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "tally.json"
    path.symlink_to("/proc/self/mem")  # reading its first bytes is an error of the disk, for root too
    with pytest.raises(UnavailableError, match=r"tally\.json: cannot be read \(.+\); let this user read it"):
        read_tally(path)
    with caplog.at_level(logging.WARNING):
        assert TrafficCounter("b", 0.5, path).tally == Tally("b")
    assert "earlier counts are lost" in caplog.text
