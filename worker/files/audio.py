"""Whether a file is a whole sound: every frame is decoded. Blocking: for a thread.

FFmpeg is held to the one container that the first bytes show, as for a video (`video`).
"""

from typing import BinaryIO

from worker.files.file_info import DefectError, FileInfo
from worker.files.formats import Format

MOST_S = 4 * 3600  # longer ones would hold a thread for minutes


def see_audio(file: BinaryIO, form: Format) -> FileInfo:
    """Its duration. Raises `DefectError` when it does not open, does not decode to its end, or is too long."""
    import av
    from av.error import FFmpegError

    samples = 0
    try:
        with av.open(file, mode="r", format=form.reader, metadata_errors="replace") as container:
            if not container.streams.audio:
                raise DefectError("holds no sound")
            stream = container.streams.audio[0]
            rate = stream.sample_rate or 0
            for frame in container.decode(stream):
                samples += frame.samples
                if rate and samples > MOST_S * rate:
                    raise DefectError(f"is longer than {MOST_S // 3600} h", "too_large")
    except (FFmpegError, ValueError, LookupError) as error:
        raise DefectError(f"does not decode as {form.content_type} ({error})") from error
    if not samples or not rate:
        raise DefectError("holds no sound")
    return FileInfo(form, duration_s=samples / rate)
