"""The viewer's password, where one is set: no part of a page is made before it was given."""

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


def is_admitted() -> bool:
    """Whether this viewer may see the pages: no password is set, or it was given in this session."""
    return read_settings().dashboard_password is None or st.session_state.get(_KEY) is True


def ask_password() -> None:
    """Ask for the password. Wrong ones are slow, and all viewers wait in one line."""
    password = read_settings().dashboard_password
    st.title("Modelyard")
    with st.form("door"):
        given = st.text_input("Password", type="password")
        submitted = st.form_submit_button("Sign in")
    if submitted and password is not None:
        with _one_at_a_time():
            if hmac.compare_digest(given.encode(), password.get_secret_value().encode()):
                st.session_state[_KEY] = True
                st.rerun()
            time.sleep(_DELAY_S)
        st.error("Wrong password. Whoever started the dashboard set it in MODELYARD_DASHBOARD_PASSWORD.")
