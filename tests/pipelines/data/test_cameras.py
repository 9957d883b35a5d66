"""Cameras: of this machine, in the network, or a file; each gives pictures, or says in one line why it gives none."""

from __future__ import annotations

import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Generator, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.data.capture.camera import Camera, LiveCamera, open_camera
from pipelines.data.capture.film import Script, film
from pipelines.data.capture.stage import Terminal
from pipelines.data.capture.take import Take
from pipelines.data.frames import Sampling, extract
from registry.errors import InputError, NotFoundError, UnavailableError

sys.path.insert(0, str(Path(__file__).parent))
from clip_maker import Film, make_clip, painted


def quiet(*_: object) -> None:
    return


def filmed(camera: Camera, wanted: Script) -> list[Take]:
    return list(film(camera, wanted, Terminal(quiet)))


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def live(pictures: Callable[[], Generator[np.ndarray]], patience: float = 5.0) -> LiveCamera:
    return LiveCamera("camera 0", pictures, patience)


def test_a_live_camera_stays_open_between_classes(tmp_path: Path) -> None:
    opened, stopped = list[int](), threading.Event()

    def pictures() -> Generator[np.ndarray]:
        opened.append(1)
        number = 0
        while not stopped.wait(0.01):
            number += 1
            yield np.ascontiguousarray(painted(number % 50)[..., ::-1])

    camera = live(pictures)
    takes = filmed(camera, Script(["hand", "not_hand"], 0.2, 1, tmp_path, "s1", countdown=0))
    camera.close()
    stopped.set()
    assert opened == [1]
    assert [take.note.label for take in takes] == ["hand", "not_hand"]
    assert all(0.15 < take.seconds < 1 for take in takes)


def test_a_camera_that_gives_nothing_is_not_waited_for_for_ever() -> None:
    hung = threading.Event()

    def nothing() -> Generator[np.ndarray]:
        hung.wait(30)
        yield np.zeros((48, 64, 3), np.uint8)

    with pytest.raises(UnavailableError, match=r"camera 0: has given no picture for 0\.2 seconds"):
        live(nothing, patience=0.2)
    hung.set()


def test_a_camera_that_is_unplugged_within_a_take_is_one_line_and_no_file(tmp_path: Path) -> None:
    def three() -> Generator[np.ndarray]:
        for number in range(3):
            yield np.ascontiguousarray(painted(number)[..., ::-1])

    with pytest.raises(UnavailableError, match="gives no pictures any more"):
        filmed(live(three), Script(["hand"], 1.0, 3, tmp_path, "s1", countdown=0))
    assert names(tmp_path) == []


@pytest.mark.parametrize("raised", [cv2.error("broken"), OSError("gone"), RuntimeError("driver")])
def test_whatever_a_driver_raises_is_one_line(raised: Exception) -> None:
    def broken() -> Generator[np.ndarray]:
        raise raised
        yield

    with pytest.raises(UnavailableError, match="camera 0"):
        live(broken)


def test_a_file_stands_in_for_a_camera_and_ends(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "film.mp4", Film(range(0, 2500, 40)))
    camera = open_camera(str(clip))
    with pytest.raises(UnavailableError, match=r"film.mp4: has ended after 2.5 seconds"):
        filmed(camera, Script(["hand"], 1.0, 3, tmp_path / "clips", "s1"))
    camera.close()
    assert names(tmp_path / "clips") == ["hand/s1-take-01.mp4", "hand/s1-take-02.mp4"]
    assert [round(frame.seconds, 2) for frame in extract(tmp_path / "clips" / "hand" / "s1-take-02.mp4", Sampling(5, 0))] == [
        0.0, 0.2, 0.4, 0.6, 0.8,
    ]  # fmt: skip


class Streaming(BaseHTTPRequestHandler):
    """Sends pictures as network cameras do, or leads elsewhere."""

    elsewhere = ""

    def do_GET(self) -> None:
        if self.path == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", self.elsewhere)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=part")
        self.end_headers()
        for number in range(40):
            content = cv2.imencode(".jpg", painted(number)[..., ::-1])[1].tobytes()
            head = f"--part\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
            self.wfile.write(head.encode() + content + b"\r\n")

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def network_camera() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Streaming)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://ada:secret@127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_network_camera_is_read_and_its_password_told_to_nobody(network_camera: str) -> None:
    camera = open_camera(f"{network_camera}/stream", patience=5)
    assert camera.read().image.shape == (48, 64, 3)
    assert "secret" not in camera.name
    camera.close()


def test_a_network_camera_leads_to_no_file(network_camera: str, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "secret.mp4")
    for elsewhere in (f"file://{clip}", f"concat:{clip}", f"data:video/mp4;base64,{b64encode(clip.read_bytes()).decode()}"):
        Streaming.elsewhere = elsewhere
        with pytest.raises(UnavailableError) as caught:
            open_camera(f"{network_camera}/elsewhere", patience=2)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "source", ["file:///etc/passwd", "concat:a|b", "ftp://a/b", "data:video/mp4;base64,AA", "subfile,,:a", "http://["]
)
def test_an_address_that_is_no_cameras_is_one_line(source: str) -> None:
    with pytest.raises(InputError) as caught:
        open_camera(source)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("source", ["nowhere.mp4", "", "/dev/video"])
def test_a_file_that_is_not_there_is_one_line(source: str) -> None:
    with pytest.raises((NotFoundError, InputError)):
        open_camera(source)
