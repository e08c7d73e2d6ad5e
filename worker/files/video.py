"""Whether a file is a whole video: its first picture and one near its end are decoded. Blocking: for a thread.

FFmpeg is held to the one container that the first bytes show, and reads from the open file only: no playlist, no
protocol, no URL inside a file leads anywhere. PyAV is imported at first use; it costs 40 MB that a worker of pictures
never needs.
"""

from typing import TYPE_CHECKING, BinaryIO

from worker.files.file_info import DefectError, FileInfo
from worker.files.formats import Format

if TYPE_CHECKING:
    from av.container import InputContainer
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
    duration_s = (container.duration or 0) / 1_000_000
    if duration_s <= 0:
        raise DefectError("has no duration")
    first = next(container.decode(stream), None)
    if first is None:
        raise DefectError("holds no picture")
    _check_end(container, stream, duration_s)
    return FileInfo(form, first.width, first.height, duration_s)


def _check_end(container: "InputContainer", stream: "VideoStream", duration_s: float) -> None:
    """Decode the key picture before the end and read on to the last packet: a file cut short lacks one or the other."""
    container.seek(int(duration_s * _NEAR_END * 1_000_000))
    decoded, last_s = False, 0.0
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise DefectError("is damaged near its end")
        decoded = decoded or bool(packet.decode())
        if packet.pts is not None and packet.time_base is not None:
            last_s = max(last_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    if not decoded or last_s < duration_s * _NEAR_END - _MARGIN_S:
        raise DefectError(f"is cut short: pictures until {last_s:.1f} s of {duration_s:.1f} s")
