"""The viewer's password, where one is set: nothing of a page is made before it was given."""

from __future__ import annotations

import hmac
import time
from threading import Lock

import streamlit as st

from registry.settings import read_settings

_DELAY_S = 1.0
_KEY = "viewer"


@st.cache_resource(show_spinner=False)
def _one_at_a_time() -> Lock:
    return Lock()


def open_to_viewer() -> bool:
    """Whether whoever looks may: nobody set a password, or it was given."""
    return read_settings().dashboard_password is None or st.session_state.get(_KEY) is True


def ask() -> None:
    """Ask for the password. Wrong answers are slow, for everybody together."""
    wanted = read_settings().dashboard_password
    st.title("Modelyard")
    with st.form("door"):
        given = st.text_input("password", type="password")
        asked = st.form_submit_button("open")
    if asked and wanted is not None:
        with _one_at_a_time():
            if hmac.compare_digest(given.encode(), wanted.get_secret_value().encode()):
                st.session_state[_KEY] = True
                st.rerun()
            time.sleep(_DELAY_S)
        st.error("That is not the password. Whoever started the dashboard set it: MODELYARD_DASHBOARD_PASSWORD.")
