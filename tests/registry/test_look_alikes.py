"""Aliases that an eye takes for a stage are none."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.promotion.due import variant
from registry.stages import ALIASES, Stage, resembled

FORMS = {
    "s": "sS\uff53\U0001d42c\u24e2\u04555\u015b\ua731", "t": "tT\uff54\u0442\u03c47\u0163\u1d1b", "a": "aA\uff41\u0430\u03b1\u0251\u00e1\u1d00", "g": "gG\uff47\u0261\u011f\u0262", "i": "iI\uff49\u0456\u03b9\u01311l\uff4c\u00ed\u026a", "n": "nN\uff4e\u0144\u0274", "p": "pP\uff50\u0440\u03c1\u1e55\u1d18",
    "r": "rR\uff52\u0155\u0280", "o": "oO\uff4f\u043e\u03bf\u05850\u00f8\u24ea\u1d0f", "d": "dD\uff44\u0501\u010f\u1d05", "u": "uU\uff55\u057d\u03c5\u00fa\u1d1c", "c": "cC\uff43\u0441\u00e7\u1d04",
}  # fmt: skip
"""Each letter of a stage's name, and what is taken for it."""
UNSEEN = ["", "", "", "\u200b", "\u200d", "\ufeff", "\u00ad", "\u2060", "\u0301", "\n", " ", "\u00a0", "-", "_", ".", "\u202e", "\U000e0061"]  # fmt: skip


@given(st.data())
def test_whatever_reads_like_a_stage_is_barred(data: st.DataObject) -> None:
    stage = data.draw(st.sampled_from(ALIASES))
    letters = [data.draw(st.sampled_from(FORMS[letter])) + data.draw(st.sampled_from(UNSEEN)) for letter in stage]
    alias = data.draw(st.sampled_from(UNSEEN)) + "".join(letters)
    assert resembled(alias) is stage
    assert variant(alias) is (alias != stage)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert resembled(unicodedata.normalize(form, alias)) is stage


@pytest.mark.parametrize("alias", ["", "champion", "production2", "prod", "stage", "pre-production", "staging-eu", "\u0432\u044b\u043f\u0443\u0441\u043a", "\u672c\u756a", "latest"])  # fmt: skip
def test_another_name_is_left_to_its_owner(alias: str) -> None:
    assert resembled(alias) is None
    assert not variant(alias)


def test_a_letter_whose_plain_form_is_another_letter_is_read_as_it_looks() -> None:
    assert resembled("produ\u03f2tion") is resembled("PRODU\u03f9TION") is Stage.PRODUCTION


@given(st.text(max_size=20))
def test_any_text_can_be_asked_for(alias: str) -> None:
    assert resembled(alias) in {None, Stage.STAGING, Stage.PRODUCTION}
