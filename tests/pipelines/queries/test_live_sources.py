"""What `modelyard live` looks at: cameras go away, files behind an address play at their own pace, and pictures are pictures."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
from live_world import colour_clip
from PIL import Image

from pipelines.queries.live.sources import CameraSource, ClipSource, PictureSource, open_source
from registry.errors import InputError, NotFoundError, UnavailableError


class Streams(BaseHTTPRequestHandler):
    """A network camera that goes away after five pictures, and a file."""

    clip = b""

    def do_GET(self) -> None:
        self.send_response(200)
        if self.path == "/clip.mp4":
            self.send_header("Content-Length", str(len(self.clip)))
            self.end_headers()
            self.wfile.write(self.clip)
            return
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=part")
        self.end_headers()
        for number in range(5):
            content = cv2.imencode(".jpg", np.full((48, 64, 3), number * 40, np.uint8))[1].tobytes()
            head = f"--part\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
            self.wfile.write(head.encode() + content + b"\r\n")
            time.sleep(0.05)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Streams)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://ada:secret@127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_camera_in_the_network_that_goes_away_is_one_line_without_its_password(address: str) -> None:
    source, frames = open_source(f"{address}/stream", patience=5), list[float]()
    assert isinstance(source, CameraSource)
    with pytest.raises(UnavailableError) as caught:
        for frame in source.frames():
            frames.append(frame.seconds)
    source.close()
    assert frames[0] == 0.0
    assert "secret" not in source.name + str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_behind_an_address_plays_at_its_own_pace_and_ends_without_an_error(address: str, tmp_path: Path) -> None:
    labels = ["red", "green", "blue", "red", "green", "blue"]
    Streams.clip = colour_clip(tmp_path / "clip.mp4", labels, [0, 150, 300, 450, 600, 750], (32, 32)).read_bytes()
    source = open_source(f"{address}/clip.mp4", patience=5)
    frames = list(source.frames())
    source.close()
    assert len(frames) >= 5  # read as fast as it comes, one or two would be left
    assert 0.5 < frames[-1].seconds < 3


def test_an_address_where_nobody_answers_is_one_line_without_its_password() -> None:
    began = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        open_source("http://ada:secret@127.0.0.1:9/", patience=1)
    assert len(str(caught.value).splitlines()) == 1
    assert "secret" not in str(caught.value)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("source", ["file:///etc/passwd", "concat:a|b", "ftp://a/b", "data:,a", "subfile,,:a", "http://["])
def test_no_other_kind_of_address_is_opened(source: str) -> None:
    with pytest.raises((InputError, NotFoundError)) as caught:
        open_source(source)
    assert len(str(caught.value).splitlines()) == 1


def test_pictures_and_clips_are_known_by_their_bytes(tmp_path: Path) -> None:
    Image.new("RGB", (20, 10), "red").save(tmp_path / "picture.png")
    (tmp_path / "unnamed").write_bytes((tmp_path / "picture.png").read_bytes())
    clip = colour_clip(tmp_path / "clip.mp4", ["red"], [0])
    (tmp_path / "film").write_bytes(clip.read_bytes())
    kinds = {"picture.png": PictureSource, "unnamed": PictureSource, "clip.mp4": ClipSource, "film": ClipSource}
    for name, kind in kinds.items():
        source = open_source(str(tmp_path / name))
        assert isinstance(source, kind)
        ((picture, seconds),) = source.frames()
        assert (picture.mode, seconds) == ("RGB", 0.0)
        assert picture.getpixel((2, 2))[0] > 180  # type: ignore[index]
        source.close()


@pytest.mark.parametrize(
    ("name", "content"),
    [("list.m3u8", b"#EXTM3U\nfile:///etc/passwd\n"), ("empty.mp4", b""), ("noise.bin", bytes(range(256)) * 9)],
)
def test_a_file_that_is_no_video_is_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="is not a video"):
        open_source(str(tmp_path / name))


def test_a_folder_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a file but a folder"):
        open_source(str(tmp_path))
