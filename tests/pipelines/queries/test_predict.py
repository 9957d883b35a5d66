"""Asking: a bad picture costs its row, a busy endpoint is waited for, one that is gone ends the asking; the words are ours."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from endpoint_double import GOOD, Reply, endpoint

from pipelines.queries.answers import Answer
from pipelines.queries.asking import BundleAsker, CloudAsker
from pipelines.queries.pictures import Picture
from pipelines.queries.predict import Prediction, _held_back, _in_order
from registry.errors import InputError, UnavailableError
from serving.targets import http_asker
from serving.targets.http_asker import HttpAsker, _wait_of
from serving.targets.waiting import Clock


class Waits:
    """A clock that a wait advances."""

    def __init__(self) -> None:
        self.slept = list[float]()

    def clock(self) -> Clock:
        return Clock(lambda: sum(self.slept), self.slept.append)


def pictures(*data: bytes) -> Iterator[Picture]:
    return (Picture(f"{number}.png", lambda d=item: d) for number, item in enumerate(data))


def asked(ask: Callable[[bytes], dict], *data: bytes, parallel: int = 4) -> list[Answer]:
    try:
        return list(_held_back(_in_order(ask, pictures(*data), parallel)))
    finally:
        getattr(ask, "close", lambda: None)()


def test_a_bad_file_among_fifty_costs_one_row(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number:02d}.png").write_bytes(b"picture %d" % number if number != 17 else b"")
    with endpoint(lambda data, _: Reply()) as (url, requests):
        prediction = Prediction(None, None, None, {"Authorization": "Bearer ours"})  # type: ignore[arg-type]
        answers = prediction.predict(url, [tmp_path])
    assert [Path(answer.image).name for answer in answers] == [f"{number:02d}.png" for number in range(50)]
    assert [number for number, answer in enumerate(answers) if answer.error] == [17]
    assert answers[17].error == "is empty; give a whole image file"
    assert answers[17].label is None
    assert (answers[0].label, answers[0].probability) == ("cup", 0.75)
    assert answers[0].served_by == f"hand/3 at {url}"
    assert not any("authorization" in headers for headers in requests.headers), "no key goes to an address"


def test_several_pictures_are_in_flight_and_no_more_than_so_many() -> None:
    together = threading.Barrier(4, timeout=20)

    def reply(_: bytes, __: int) -> Reply:
        together.wait()
        return Reply()

    with endpoint(reply) as (url, requests):
        answers = asked(HttpAsker(url), *(b"%d" % number for number in range(12)))
    assert [answer.image for answer in answers] == [f"{number}.png" for number in range(12)]
    assert requests.most_open == 4


def test_pictures_are_taken_as_they_are_asked_about() -> None:
    taken = list[int]()

    def endless() -> Iterator[Picture]:
        for number in range(10**9):
            taken.append(number)
            yield Picture(str(number), lambda: b"x")

    answers = _in_order(lambda _: {"label": "cup"}, endless(), 4)
    for _ in range(10):
        next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert len(taken) <= 14


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (422, {"error": "image 1: cannot be decoded; send a JPEG"}, "refused it (image 1: cannot be decoded; send a JPEG)"),
        (413, {"error": "body: is larger than 20,000,000 bytes"}, "refused it (body: is larger than"),
        (413, b"<html>nginx</html>", "refused it (413 "),
        (422, {"detail": [{"loc": ["body"], "msg": "x"}]}, "refused it (422 Unprocessable"),
        (415, b"\xff\xfe", "refused it (415 Unsupported Media Type)"),
    ],
)
def test_a_picture_that_is_refused_is_a_row_in_our_words(status: int, body: object, words: str) -> None:
    with endpoint(lambda data, _: Reply(status, body) if data == b"bad" else Reply()) as (url, _):
        answers = asked(HttpAsker(url), b"a", b"bad", b"c")
    assert [answer.error is None for answer in answers] == [True, False, True]
    assert words in str(answers[1].error)
    assert "{" not in str(answers[1].error)
    assert "<" not in str(answers[1].error)


@pytest.mark.parametrize("status", [429, 503, 502, 504])
def test_a_busy_endpoint_is_asked_again_when_it_says(status: int) -> None:
    waits = Waits()
    with endpoint(lambda _, before: Reply(status, {}, {"retry-after": "2"}) if before < 3 else Reply()) as (url, requests):
        (answer,) = asked(HttpAsker(url, clock=waits.clock()), b"x")
    assert answer.label == "cup"
    assert len(requests.bodies) == 4
    assert [2 <= seconds <= 2.5 for seconds in waits.slept] == [True] * 3


def test_an_endpoint_that_stays_busy_is_given_up_after_a_minute() -> None:
    waits = Waits()
    with endpoint(lambda *_: Reply(429, {"error": "queue: is full"}, {"retry-after": "9"})) as (url, requests):
        with pytest.raises(UnavailableError, match=r"answered: queue: is full"):
            asked(HttpAsker(url, clock=waits.clock()), b"x")
        assert len(requests.bodies) < 9
    assert sum(waits.slept) <= 60


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("0", 0.2, 0.25), ("1e9", 10, 12.5), ("-5", 0.2, 0.25), ("nan", 1, 1.25), ("soon", 1, 1.25), ("", 1, 1.25),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.2, 0.25), ("Wed, 21 Oct 2065 07:28:00 GMT", 10, 12.5), ("inf", 10, 12.5),
        ("Wed, 21 Oct 2065 07:28:00 -0000", 1, 1.25),
    ],
)  # fmt: skip
def test_how_long_to_wait_is_bounded_whatever_a_server_says(header: str, least: float, most: float) -> None:
    assert least <= _wait_of(SimpleNamespace(headers={"retry-after": header})) <= most  # type: ignore[arg-type]


def test_a_connection_that_breaks_once_is_tried_again() -> None:
    waits = Waits()
    with endpoint(lambda _, before: Reply(body=None) if before < 1 else Reply()) as (url, requests):
        (answer,) = asked(HttpAsker(url, clock=waits.clock()), b"x")
    assert answer.error is None
    assert len(requests.bodies) == 2


def test_an_endpoint_that_goes_half_way_leaves_what_it_answered_and_the_rest_is_not_asked() -> None:
    waits, sent = Waits(), list[bytes]()

    def reply(data: bytes, _: int) -> Reply:
        sent.append(data)
        return Reply() if int(data) < 5 else Reply(body=None)

    with endpoint(reply) as (url, _):
        answers = asked(HttpAsker(url, clock=waits.clock()), *(b"%d" % number for number in range(500)))
    assert len(answers) == 500
    assert all(answer.error is None for answer in answers[:5])
    assert str(answers[5].error).startswith("does not answer (RemoteProtocolError)")
    assert str(answers[-1].error).startswith("was not asked")
    assert len({*sent}) <= 12, "three in a row, and those in flight"


def test_where_nobody_answers_at_all_that_is_the_outcome() -> None:
    waits = Waits()
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:9: does not answer \(ConnectError\)"):
        asked(HttpAsker("http://127.0.0.1:9", clock=waits.clock()), b"a", b"b")
    for url in ("http://", "http://[::1", "http://a b"):
        with pytest.raises(UnavailableError, match="does not answer"):
            asked(HttpAsker(url, clock=waits.clock()), b"a")


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(401, {"error": "API key: is missing"}), "wants another key"),
        (Reply(404, b"nothing"), "answered: 404 Not Found"),
        (Reply(302, b"", {"location": "http://127.0.0.1:9/"}), "answered: 302 Found"),
        (Reply(200, b"<html>"), "does not answer as a Modelyard endpoint does"),
        (Reply(200, []), "does not answer as a Modelyard endpoint does"),
        (Reply(200, {"label": "x"}), "does not answer as a Modelyard endpoint does"),
        (Reply(500, {"error": "the server failed; see its log under 1"}), "answered: the server failed"),
        (Reply(799, b""), "answered: 799"),
    ],
)
def test_what_is_no_endpoint_of_ours_is_one_line(reply: Reply, words: str) -> None:
    with endpoint(lambda *_: reply) as (url, _), pytest.raises(UnavailableError, match=words) as caught:
        asked(HttpAsker(url), b"a")
    assert "{" not in str(caught.value)


def test_a_login_in_the_address_is_not_shown() -> None:
    with endpoint(lambda *_: Reply()) as (url, _):
        (answer,) = asked(HttpAsker(url.replace("//", "//ada:secret@")), b"a")
    assert "secret" not in str(answer)


def test_an_answer_that_is_no_number_is_no_answer() -> None:
    with endpoint(lambda *_: Reply(body=b'{"label":"a","probability":NaN,"probabilities":{},"model":"m","version":1}')) as (
        url,
        _,
    ):
        (answer,) = asked(HttpAsker(url), b"a")
    assert str(answer.error).startswith("failed")


def test_an_answer_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_asker, "_MOST_ANSWER_BYTES", 1000)
    began = time.monotonic()
    with endpoint(lambda *_: Reply(body=b"x" * 5000)) as (url, _), pytest.raises(UnavailableError, match="ReadTimeout"):
        asked(HttpAsker(url), b"a")
    assert time.monotonic() - began < 10


def test_a_detector_s_boxes_are_kept() -> None:
    boxes = [{"label": "cup", "score": 0.9, "box": [1, 2, 3, 4]}]
    with endpoint(lambda *_: Reply(body=GOOD | {"boxes": boxes})) as (url, _):
        (answer,) = asked(HttpAsker(url + "/predict"), b"a")
    assert answer.boxes == boxes


def test_a_bundle_answers_here_and_what_is_no_picture_is_a_row(
    make_bundle: Callable[..., object], picture: Callable[..., bytes], tmp_path: Path
) -> None:
    ask = BundleAsker(make_bundle(tmp_path / "bundle"), "colours/1 here")  # type: ignore[arg-type]
    answers = asked(ask, picture("red"), b"no picture", picture("blue"), parallel=1)
    assert [answer.label for answer in answers] == ["red", None, "blue"]
    assert answers[1].error
    assert answers[2].served_by == "colours/1 here"


def test_a_cloud_answers_through_its_target_and_any_failure_is_a_row() -> None:
    def ask(data: bytes) -> dict[str, float]:
        if data == b"bad":
            raise InputError("endpoint x", "refused (422)", "send an image")
        if data == b"worse":
            raise RuntimeError("{json}" * 100)
        return {"a": 0.1, "b": 0.9}

    answers = asked(CloudAsker(ask, "hand/1 at cloud"), b"a", b"bad", b"worse", b"b")
    assert [answer.label for answer in answers] == ["b", None, None, "b"]
    assert answers[1].error == "refused (422); send an image"
    assert len(str(answers[2].error)) < 200
