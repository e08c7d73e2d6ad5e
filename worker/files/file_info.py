"""What a check of a file finds out."""

from dataclasses import dataclass

from worker.files.formats import Format


class DefectError(Exception):
    """What is wrong with a file, as the end of a sentence that begins with its label. `kind` is one word for it."""

    def __init__(self, message: str, kind: str = "broken") -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class FileInfo:
    """The format, size, duration and transparency of a file, from its bytes. The size is that of the upright picture.

    `oddity`: what some decoders read wrongly, although they take the format: `animated`, `several` pictures in one
    file (MPO), `cmyk`, `16-bit`.
    """

    form: Format
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    has_alpha: bool = False  # of a picture: whether it can be transparent
    oddity: str = ""
    has_sound: bool = False  # of a video: whether it has a sound track
    poster: str = ""  # of a video: one of its frames as a JPEG, in base64, because a decoder's process prints JSON
