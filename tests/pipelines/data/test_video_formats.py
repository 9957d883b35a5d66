"""Every form of clip that a phone, a browser or a cutting program gives: read by its times, upright, in its colours; or refused."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from zlib import crc32

import av
import numpy as np
import pytest
from av.video.reformatter import Colorspace

from pipelines.data.frames import ClipFrames, Sampling, extract
from registry.errors import InputError

sys.path.insert(0, str(Path(__file__).parent))
from clip_maker import Film, make_clip, make_cover, painted

FIVE = Sampling(fps=5, min_change=0)
FULL = {"pixels": "yuvj420p", "unit": Fraction(1, 25)}
HEVC = {"codec": "libx265", "options": {"x265-params": "log-level=none"}}
FORMATS = {
    "h264.mp4": Film(),
    "b-frames.mp4": Film(options={"bf": "3", "g": "12"}),
    "hevc.mp4": Film(**HEVC),
    "hevc-10-bit.mkv": Film(**HEVC, pixels="yuv420p10le"),
    "vp8.webm": Film(codec="libvpx"),
    "vp9.webm": Film(codec="libvpx-vp9"),
    "vp9-alpha.webm": Film(codec="libvpx-vp9", pixels="yuva420p"),
    "mjpeg.avi": Film(codec="mjpeg", **FULL),
    "stream.mjpeg": Film(codec="mjpeg", kind="mjpeg", **FULL),
    "mpeg4.avi": Film(codec="mpeg4", unit=Fraction(1, 25)),
    "fragments.mp4": Film(muxing={"movflags": "frag_keyframe+empty_moov"}, options={"g": "5"}),
    "odd-sides.mp4": Film(pixels="yuv444p", size=(63, 47)),
    "interlaced.mp4": Film(options={"x264-params": "interlaced=1"}),
    "sound.mp4": Film(audio=True),
    "sound.mkv": Film(audio=True),
    "prores-alpha.mov": Film(codec="prores_ks", pixels="yuva444p10le"),
    "png-alpha.mov": Film(codec="png", pixels="rgba"),
    "transport.mp4": Film(kind="mpegts"),
    "flash.m4v": Film(kind="flv"),
    "late.mkv": Film(times=range(7000, 8000, 40)),
}


def seconds_of(clip: Path, sampling: Sampling = FIVE) -> list[float]:
    return [round(frame.seconds, 2) for frame in extract(clip, sampling)]


@pytest.mark.parametrize("name", FORMATS)
def test_a_clip_is_read_whole_by_its_times_and_looks_like_what_was_filmed(name: str, tmp_path: Path) -> None:
    film = FORMATS[name]
    frames = ClipFrames(make_clip(tmp_path / name, film), FIVE)
    kept = list(frames)
    assert [round(frame.seconds, 2) for frame in kept] == [0.0, 0.2, 0.4, 0.6, 0.8]
    report = frames.report
    assert (report.decoded, report.kept, report.by_rate, report.unchanged, report.undecodable) == (25, 5, 20, 0, 0)
    assert (report.damage, report.width, report.height) == ("", *film.size)
    for frame in kept:
        expected = painted(frame.index, film.size)[..., ::-1].astype(int)
        assert np.abs(frame.image.astype(int) - expected).mean() < 12


def test_av1_is_read_or_named(shared_av1: bytes, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(shared_av1)
    try:
        assert len(seconds_of(clip)) == 5
    except InputError as error:
        assert "av1" in str(error)  # noqa: PT017 a build of FFmpeg without a decoder says so


@pytest.fixture
def shared_av1(tmp_path: Path) -> bytes:
    if "libsvtav1" not in av.codecs_available:
        pytest.skip("this build of FFmpeg cannot write AV1")
    made = tmp_path / "made.mp4"
    # in a process of its own: run by root, SVT-AV1 puts the thread that opens it, and what that starts, under real-time scheduling
    make = (
        "import sys; from pathlib import Path; from clip_maker import Film, make_clip; "
        "options = {'svtav1-params': 'lp=1', 'preset': '12'}; "
        "make_clip(Path(sys.argv[1]), Film(codec='libsvtav1', size=(128, 96), options=options))"
    )
    subprocess.run([sys.executable, "-c", make, made], check=True, cwd=Path(__file__).parent, capture_output=True)
    return made.read_bytes()


def test_a_browsers_recording_that_says_nothing_of_its_length_is_read_whole(tmp_path: Path) -> None:
    times = [0, *range(50, 3053, 33)]
    clip = make_clip(tmp_path / "clip.webm", Film(times, "libvpx", muxing={"live": "1"}))
    assert len(seconds_of(clip)) == 16


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_a_phones_slow_half_gives_what_it_has_and_no_more(ending: str, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / f"clip{ending}", Film([*range(0, 1000, 33), *range(1000, 6000, 500)]))
    seconds = seconds_of(clip)
    assert [sum(int(at) == second for at in seconds) for second in range(6)] == [5, 2, 2, 2, 2, 2]


def test_frames_that_an_edit_list_hides_are_not_missed(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", Film(times=range(0, 2400, 40), options={"bf": "0", "g": "100"}))
    content = bytearray(clip.read_bytes())
    at = content.find(b"elst") + 12
    scale = struct.unpack_from(">I", content, content.find(b"mdhd") + 16)[0]
    assert struct.unpack_from(">Ii", content, at) == (2400, 0)
    struct.pack_into(">Ii", content, at, 1600, scale * 8 // 10)
    clip.write_bytes(content)
    frames = ClipFrames(clip, FIVE)
    assert [round(frame.seconds, 2) for frame in frames] == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4]
    assert (frames.report.decoded, frames.report.declared, frames.report.damage) == (40, 60, "")


TURNS = {
    (0, False, False): lambda image: image,
    (90, False, False): np.rot90,
    (180, False, False): lambda image: np.rot90(image, 2),
    (-90, False, False): lambda image: np.rot90(image, -1),
    (0, True, False): lambda image: image[:, ::-1],
    (0, False, True): lambda image: image[::-1],
}


@pytest.mark.parametrize("turned", TURNS, ids=str)
def test_a_clip_that_was_filmed_sideways_or_mirrored_is_shown_as_a_player_shows_it(turned: tuple, tmp_path: Path) -> None:
    plain = extract(make_clip(tmp_path / "plain.mp4"), FIVE)[0].image
    frames = ClipFrames(make_clip(tmp_path / "turned.mp4", Film(turned=turned)), FIVE)
    assert np.array_equal(next(iter(frames)).image, TURNS[turned](plain))


@pytest.mark.parametrize("matrix", [Colorspace.ITU709, Colorspace.ITU601])
@pytest.mark.parametrize("is_full", [False, True])
def test_colours_are_those_that_were_filmed(matrix: Colorspace, is_full: bool, tmp_path: Path) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (250, 200, 30), (128, 128, 128), (255, 255, 255), (0, 0, 0)]
    clip = tmp_path / "clip.mp4"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        stream.codec_context.colorspace = 1 if matrix == Colorspace.ITU709 else 6
        stream.codec_context.color_range = 2 if is_full else 1
        for number, colour in enumerate(colours):
            plain = av.VideoFrame.from_ndarray(np.full((64, 64, 3), colour, np.uint8), format="rgb24")
            frame = plain.reformat(format="yuv420p", dst_colorspace=matrix, dst_color_range=2 if is_full else 1)
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    for frame, colour in zip(extract(clip, Sampling(25, 0)), colours, strict=True):
        assert np.abs(frame.image.reshape(-1, 3).mean(0)[::-1] - colour).max() < 4, colour


def test_the_first_video_is_read_and_a_cover_picture_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a video: it holds a cover picture only"):
        extract(make_cover(tmp_path / "song.mp4"), FIVE)


def test_the_time_of_filming_is_the_cameras_and_no_clock_that_was_never_set(tmp_path: Path) -> None:
    known = ClipFrames(make_clip(tmp_path / "a.mov", Film(metadata={"creation_time": "2024-05-01T10:00:00Z"})), FIVE)
    list(known)
    assert known.captured(1.25) == "2024-05-01T10:00:01.250+00:00"
    unset = ClipFrames(make_clip(tmp_path / "b.mov", Film(metadata={"creation_time": "1970-01-01T00:00:00Z"})), FIVE)
    list(unset)
    assert unset.captured(1.25) == unset.report.captured == ""


LISTS = {
    "ffconcat": "ffconcat version 1.0\nfile 'secret.mp4'\n",
    "hls": "#EXTM3U\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n",
    "dash": '<?xml version="1.0"?>\n<MPD><BaseURL>secret.mp4</BaseURL></MPD>\n',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "smil": "<smil><body><video src='secret.mp4'/></body></smil>",
    "utf-16": "\ufeff#EXTM3U\nsecret.mp4\n",
    "latin-1": "",
    "subtitles": "1\n00:00:00,000 --> 00:00:01,000\nhello\n",
}


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".avi", ".webm", ".mjpeg"])
def test_a_list_of_files_is_refused_and_never_followed(kind: str, ending: str, tmp_path: Path) -> None:
    secret = make_clip(tmp_path / "secret.mp4")
    content = LISTS[kind].encode("utf-16" if kind == "utf-16" else "utf-8") or b"#EXTM3U \xe9\nsecret.mp4\n"
    os.utime(secret, (1, 1))
    (tmp_path / f"list{ending}").write_bytes(content)
    with pytest.raises(InputError, match="is not a video"):
        extract(tmp_path / f"list{ending}", FIVE)
    assert secret.stat().st_atime == 1


PICTURES = {"JPEG": "JPEG", "PNG": "PNG", "GIF": "GIF", "BMP": "BMP", "TIFF": "TIFF", "WEBP": "WebP"}


@pytest.mark.parametrize("kind", PICTURES)
def test_a_picture_called_a_clip_is_said_to_be_a_picture(kind: str, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(painted(0)).save(tmp_path / "clip.mp4", kind)
    with pytest.raises(InputError, match=f"it is a {PICTURES[kind]} picture"):
        extract(tmp_path / "clip.mp4", FIVE)


def test_what_is_no_file_never_keeps_anybody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    for name, why in (
        ("pipe.mp4", "a pipe"),
        ("folder.mp4", "a folder"),
        ("gone.mp4", "no such clip"),
        ("/dev/zero", "a device"),
    ):
        with pytest.raises(InputError, match=why):
            extract(tmp_path / name, FIVE)


@pytest.mark.parametrize("tag", [b"evc1", b"XYZ1"])
def test_a_codec_that_cannot_be_decoded_is_named(tag: bytes, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    clip.write_bytes(clip.read_bytes().replace(b"avc1\0\0\0\0", tag + b"\0\0\0\0"))
    with pytest.raises(InputError, match=rf"its codec \((evc, )?{tag.decode()}\) cannot be decoded here"):
        extract(clip, FIVE)


@pytest.mark.parametrize("sides", [(9000, 8000), (30000, 30000), (60000, 60)])
def test_sides_beyond_the_limits_of_pictures_are_never_decoded(sides: tuple[int, int], tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mov", Film(codec="qtrle", pixels="rgb24"))
    content = bytearray(clip.read_bytes())
    struct.pack_into(">HH", content, content.find(b"rle ", content.find(b"stsd")) + 28, *sides)
    clip.write_bytes(content)
    with pytest.raises(InputError, match=r"64,000,000 pixels|100 times longer"):
        extract(clip, FIVE)


def test_sides_that_only_the_frames_tell_are_never_decoded(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mov", Film(codec="png", pixels="rgb24"))
    header, huge = struct.pack(">4sII", b"IHDR", 64, 48), struct.pack(">4sII", b"IHDR", 20000, 20000)
    content = clip.read_bytes()
    depth = content[content.find(header) + 12 :][:5]
    good, bad = (bytes_ + depth + struct.pack(">I", crc32(bytes_ + depth)) for bytes_ in (header, huge))
    assert content.count(good) == 25
    clip.write_bytes(content.replace(good, bad))
    with pytest.raises(InputError, match="no frame decodes"):
        extract(clip, FIVE)
