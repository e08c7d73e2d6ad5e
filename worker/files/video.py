"""Whether a file is a whole video: its first picture and one near its end are decoded. Blocking: for a thread.

One of them becomes its poster: the first, or the one near the end if the video begins in black.

A file that does not say its duration (a recording of a browser) is decoded to its end. Sizes are those of the upright
picture: telephones write a quarter turn beside it.

FFmpeg is held to the one container that the first bytes show, and reads from the open file only: no playlist, no
protocol, no URL inside a file leads anywhere. PyAV is imported at first use; it costs 40 MB that a worker of pictures
never needs.
"""

from typing import TYPE_CHECKING, Any, BinaryIO

from worker.files.file_info import DefectError, FileInfo
from worker.files.formats import Format
from worker.files.poster import poster_of

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_NEAR_END = 0.9  # of the duration
_MARGIN_S = 0.5  # the last picture begins before the end


def see_video(file: BinaryIO, form: Format, most_pixels: int) -> FileInfo:
    """Its size in pixels and its duration. Raises `DefectError` when it does not open or decode, or ends too early."""
    import av
    from av.error import FFmpegError

    try:
        with av.open(file, mode="r", format=form.reader, metadata_errors="replace") as container:
            if not container.streams.video:
                raise DefectError("holds no picture track")
            return _seen(container, container.streams.video[0], form, most_pixels)
    except (FFmpegError, ValueError, LookupError) as error:
        raise DefectError(f"does not decode as {form.content_type} ({error})") from error


def _seen(container: "InputContainer", stream: "VideoStream", form: Format, most_pixels: int) -> FileInfo:
    if stream.codec_context is None:  # then PyAV's stream has no width either
        raise DefectError("is in a codec that nothing here decodes")
    if stream.width * stream.height > most_pixels:
        raise DefectError(f"{stream.width} x {stream.height} pixels a picture is too large", "too_many_pixels")
    stream.thread_type = "NONE"  # verifying has its own threads
    first = next(container.decode(stream), None)
    if first is None:
        raise DefectError("holds no picture")
    duration_s = (container.duration or 0) / 1_000_000
    near_end = None
    if duration_s > 0:
        near_end = _check_end(container, stream, duration_s)
    else:
        duration_s = _played_s(container, stream)
    width, height = (first.height, first.width) if first.rotation % 180 else (first.width, first.height)
    has_sound, poster = bool(container.streams.audio), poster_of(first, near_end)
    return FileInfo(form, width, height, duration_s, has_sound=has_sound, poster=poster)


def _check_end(container: "InputContainer", stream: "VideoStream", duration_s: float) -> "VideoFrame | None":
    """Decode the key picture before the end and read on to the last packet: a file cut short lacks one or the other.

    The sound may go on when the pictures have ended, so packets of all streams count. Returns
    the first picture that was decoded there.
    """
    own_s = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else duration_s
    container.seek(int(min(own_s, duration_s) * _NEAR_END * 1_000_000))
    decoded: VideoFrame | None = None
    last_s = 0.0
    for packet in container.demux():
        if packet.is_corrupt:
            raise DefectError("is damaged near its end")
        if packet.stream.index == stream.index:
            decoded = decoded or next(iter(stream.decode(packet)), None)
        last_s = max(last_s, _end_s(packet))
    if decoded is None or last_s < duration_s * _NEAR_END - _MARGIN_S:
        raise DefectError(f"is cut short: pictures until {last_s:.1f} s of {duration_s:.1f} s")
    return decoded


def _played_s(container: "InputContainer", stream: "VideoStream") -> float:
    """The duration of a file that does not say it, as browsers record them: every picture is decoded to its end."""
    last_s = 0.0
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise DefectError("is damaged")
        packet.decode()
        last_s = max(last_s, _end_s(packet))
    return last_s


def _end_s(packet: "Packet[Any]") -> float:
    if packet.pts is None or packet.time_base is None:
        return 0.0
    return float((packet.pts + (packet.duration or 0)) * packet.time_base)
