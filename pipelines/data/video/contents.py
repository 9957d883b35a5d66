"""What a file called a clip is, told by its first bytes: FFmpeg is only ever asked to read a container that is named here.

FFmpeg would also read playlists, concat lists, session descriptions and pictures, whatever their names end in, and the
first three open other files or addresses. So its own guess is never used.
"""

from __future__ import annotations

import stat
from pathlib import Path

from pipelines.data.sources import check_name
from registry.errors import InputError, NotFoundError

_GLANCE = 1024
_REMEDY = "record it again or convert it to MP4"
_PICTURE = "put pictures into a folder of their own and give it with --images"
_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"sidx", b"moof", b"uuid", b"pict"}
_STILL_BRANDS = {b"avif", b"avis", b"heic", b"heim", b"heis", b"heix", b"mif1", b"msf1"}
"""MP4's boxes around pictures: HEIC and AVIF."""
_STARTS = {
    b"\x1a\x45\xdf\xa3": "matroska",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "asf",
    b"FLV\x01": "flv",
    b"OggS": "ogg",
    b"\x00\x00\x01\xba": "mpeg",
}
_PICTURES = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"GIF8": "GIF", b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF"}
_TRANSPORT_PACKET, _TRANSPORT_SYNC = 188, 0x47


def container_of(clip: Path) -> str:
    """FFmpeg's name of the container that a file is.

    Raises InputError for a file that is no video, for what is no file at all (a pipe would wait for ever), and for a name
    that is not UTF-8; NotFoundError where there is none.
    """
    check_name(clip)
    try:
        mode = clip.stat().st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"
            raise InputError(clip, f"is not a file but {what}", "give a clip's file")
        with clip.open("rb") as file:
            head = file.read(_GLANCE)
    except FileNotFoundError as error:
        raise NotFoundError(clip, "there is no such clip", "see how its name is spelled") from error
    except (OSError, ValueError) as error:
        raise InputError(clip, "cannot be opened", "see its permissions") from error
    return _named(clip, head)


def _named(clip: Path, head: bytes) -> str:
    """The container, by its first bytes."""
    if head[4:8] in _BOXES and not (head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS):
        return "mov"
    if head[:4] == b"RIFF" and head[8:12] in {b"AVI ", b"AVIX", b"AMV "}:
        return "avi"
    if head[:3] == b"\xff\xd8\xff" and clip.suffix.lower() == ".mjpeg":
        return "mjpeg"
    for start, container in _STARTS.items():
        if head.startswith(start):
            return container
    if len(head) > _TRANSPORT_PACKET and head[0] == head[_TRANSPORT_PACKET] == _TRANSPORT_SYNC:
        return "mpegts"
    raise InputError(clip, *_why_not(head))


def _why_not(head: bytes) -> tuple[str, str]:
    """What is wrong with a file that is no video, and what to do."""
    if not head:
        return "is not a video: it is empty", _REMEDY
    picture = next((name for start, name in _PICTURES.items() if head.startswith(start)), None)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        picture = "WebP"
    if head[4:8] == b"ftyp":
        picture = "HEIC or AVIF"
    if picture:
        return f"is not a video: it is a {picture} picture", _PICTURE
    if _is_text(head):
        return "is not a video: it is text; playlists and lists of files are never followed", "give the clips themselves"
    return "is not a video that can be decoded", _REMEDY


def _is_text(head: bytes) -> bool:
    """Whether bytes are text: none is a control character but for tabs and line ends."""
    try:
        text = head.decode("utf-16" if head[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8", "ignore")
    except UnicodeDecodeError:
        return False
    return not any(ord(character) < ord(" ") and character not in "\t\r\n\f" for character in text)
