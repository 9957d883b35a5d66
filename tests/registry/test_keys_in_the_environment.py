"""A cloud's key that was copied with white space is the key; what no key holds is one line that does not show it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import InputError
from registry.settings import Settings, read_settings

VARIABLES = {
    "RUNPOD_API_KEY": "runpod_api_key",
    "MODELYARD_RUNPOD_API_KEY": "runpod_api_key",
    "HF_TOKEN": "hf_token",
    "MODELYARD_HF_TOKEN": "hf_token",
    "MODELYARD_BUNDLE_TOKEN": "bundle_token",
}
SPACES = st.text(st.sampled_from(" \t\r\n\u00a0"), max_size=3)
KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize("variable", VARIABLES)
def test_white_space_around_a_key_is_none_of_it(variables: pytest.MonkeyPatch, variable: str) -> None:
    @given(before=SPACES, key=KEYS, after=SPACES)
    def check(before: str, key: str, after: str) -> None:
        variables.setenv(variable, before + key + after)
        secret = getattr(read_settings(), VARIABLES[variable])
        assert secret.get_secret_value() == key

    check()


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("empty", ["", " ", "\n", "\t \r\n"])
def test_an_empty_key_is_none(variables: pytest.MonkeyPatch, variable: str, empty: str) -> None:
    variables.setenv(variable, empty)
    assert getattr(read_settings(), VARIABLES[variable]) is None


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("wrong", ["hush hush", "hush\nhush", "hushé", "hush\x07hush", "hush\u200bb", "\ufeffhush"])
def test_what_no_key_holds_is_refused_without_showing_it(variables: pytest.MonkeyPatch, variable: str, wrong: str) -> None:
    variables.setenv(variable, wrong)
    with pytest.raises(InputError) as refusal:
        read_settings()
    text = str(refusal.value)
    assert text.startswith(f"{variable}: "), "the variable that is set, and not another name of it"
    assert len(text.splitlines()) == 1
    assert "hush" not in text


def test_both_names_of_a_key_are_known(variables: pytest.MonkeyPatch) -> None:
    variables.setenv("HF_TOKEN", "general")
    variables.setenv("MODELYARD_HF_TOKEN", "ours")
    token = Settings().hf_token
    assert token is not None
    assert token.get_secret_value() == "ours"
