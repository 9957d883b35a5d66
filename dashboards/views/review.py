"""Review: suggested labels and proposed boxes, a picture at a time, decided with a key each."""

from __future__ import annotations

import streamlit as st

from dashboards.pages import page_header, settings
from dashboards.reviews import picture_of, record, reviewable, reviewer, sentence, undecided
from dashboards.words import escaped
from registry.reports.reviews import Action, Candidate, Review

page_header("Review")
home = settings().home.absolute()
datasets = reviewable(home)
if not datasets:
    st.info("No dataset is on this machine. `modelyard frames` makes one from clips.")
    st.stop()
name = st.selectbox("Dataset", list(datasets), key="data", bind="query-params")
dataset = datasets[name]
review = Review.of(home, dataset.digest)
candidates, decisions = review.candidates(), review.decisions()
later = st.session_state.setdefault("later", dict[str, None]())
last = st.session_state.setdefault("decided", dict[str, Candidate]())
who = reviewer(st.context.headers.get("Host"))
queue = undecided(candidates, decisions, later)


def choose(candidate: Candidate, action: Action, label: str = "") -> None:
    """Record a decision, and remember it for Undo."""
    record(review, candidate, action, who, label)
    last.pop(candidate.sha256, None)
    if action != "undo":
        last[candidate.sha256] = candidate


suggested, decided, relabelled, dropped = st.columns(4)
suggested.metric("Undecided", len(queue))
decided.metric("Decided", len(decisions))
relabelled.metric("Changed", sum(decision.action == "relabel" for decision in decisions.values()))
dropped.metric("Dropped", sum(decision.action == "drop" for decision in decisions.values()))
if decisions:
    st.caption("`modelyard data apply-review` makes the next version of the dataset from what was decided. Splits stay.")
if not who:
    st.info(
        "Decisions are recorded where the dashboard was started with `modelyard dashboard --review`. Here you can only look."
    )
elif last:
    recent = next(reversed(last.values()))
    st.button("Undo", key="undo", icon=":material/undo:", shortcut="u", on_click=choose, args=(recent, "undo"))
if not queue:
    hint = "`modelyard data label-errors` looks for wrong labels, `modelyard data propose` asks a model."
    if candidates:
        st.success(f"Everything is decided. {hint}")
    else:  # a bare conditional expression would be written onto the page by Streamlit's magic
        st.info(f"Nothing is suggested for this dataset. {hint}")
    st.stop()

candidate = queue[0]
left, right = st.columns([3, 2])
picture = picture_of(dataset, review, candidate)
if picture is None:
    left.warning("The picture is not on this machine.")
else:
    left.image(picture, width="stretch")
right.subheader(escaped(sentence(candidate)), anchor=False)
origin = f"clip {candidate.clip}, {candidate.split}" if candidate.split else f"{candidate.clip}, not in the dataset yet"
right.text(f"{origin}\n{candidate.file}\n{candidate.sha256[:12]}")
if candidate.whole_clip:
    right.warning("Nearly all pictures of this clip look like the suggested class: the clip may lie in the wrong folder.")
if who:
    keep = "Leave out" if candidate.is_new else "Keep label" if candidate.label else "No boxes"
    actions: list[tuple[str, Action, str]] = [("Accept", "relabel", "a"), (keep, "keep", "k"), ("Drop picture", "drop", "d")]
    for text, action, key in actions[: 2 if candidate.is_new else 3]:
        right.button(text, key=action, shortcut=key, on_click=choose, args=(candidate, action), width="stretch")
    right.button("Later", key="later-button", shortcut="l", on_click=later.update, args=({candidate.sha256: None},))
    others = [label for label in dataset.labels if label not in {candidate.label, candidate.suggested}]
    if candidate.boxes is None and others:
        other = right.selectbox("Another class", others, index=None, key=f"other-{candidate.sha256}")
        right.button("Relabel", key="other", disabled=not other, on_click=choose, args=(candidate, "relabel", other or ""))
