"""`policy`: unchanged since the stage's last promotion, or approved by another person; what is not known fails."""

from __future__ import annotations

import pytest

from registry.records import Approval, Evidence, PolicyChange
from validation.gates.policy import PolicyGate

KEY = {"model": "hand", "version": 3, "created_ms": 1, "digest": "d", "stage": "production"}
EVE, EVE_PROVEN, ADA = (
    Approval(actor="eve", proven=False),
    Approval(actor="eve", proven=True),
    Approval(actor="ada", proven=True),
)


def judged(change: PolicyChange | None, *, proven: bool = False) -> tuple[bool, str]:
    (finding,) = PolicyGate(proven=proven).judge(Evidence(**KEY, policy=change))
    return finding.passed, finding.text


@pytest.mark.parametrize(
    ("changed", "approvals", "proven", "passes"),
    [
        (False, [], False, True),
        (False, [], True, True),
        (True, [], False, False),
        (True, [ADA], False, False),
        (True, [EVE], False, True),
        (True, [EVE], True, False),
        (True, [EVE_PROVEN], True, True),
        (True, [ADA, EVE_PROVEN], True, True),
    ],
)
def test_a_change_needs_somebody_else(changed: bool, approvals: list[Approval], proven: bool, passes: bool) -> None:
    change = PolicyChange(since=7, changed=changed, row=9, set_by="ada", approvals=approvals)
    assert judged(change, proven=proven)[0] == passes


def test_the_first_promotion_has_nothing_to_compare_with() -> None:
    assert judged(PolicyChange(since=None, changed=False, row=1, set_by="ada"))[0]


def test_a_policy_that_is_not_known_fails() -> None:
    assert judged(None) == (False, "it is not known by which policy hand/3 is judged")


def test_a_refusal_names_what_to_do() -> None:
    recorded = judged(PolicyChange(since=7, changed=True, row=9, set_by="ada"))[1]
    assert recorded.endswith("another person than ada runs `modelyard policy approve hand`")
    assert "`modelyard policy set`, then" in judged(PolicyChange(since=7, changed=True, row=None, set_by="ada"))[1]
