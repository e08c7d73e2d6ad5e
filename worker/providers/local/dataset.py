"""The work on a training's data set: pictures checked and brought to size, a zip unpacked, a zip made. Blocking.

A picture becomes an upright JPEG or PNG, of at most 4 megapixels and 1.6 MB: trainers scale to 1 or 2 megapixels, and
60 such files fit one call. The bytes of a good picture stay as they are. The archive itself is checked when it is
brought (`worker.files.archive`): bombs and names that lead out of it are refused there.
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import TypeVar

from PIL import Image

from worker.errors import RequestRefusedError
from worker.files.convert import convert, must_convert
from worker.files.decoding import convert_apart
from worker.files.file_info import DefectError, FileInfo
from worker.files.fit import ImageLimits, fit_image
from worker.files.formats import HEAD_BYTES, HEIC, by_ending, sniff
from worker.files.media import Media
from worker.files.picture import UNREADABLE, see_picture
from worker.files.upright import open_upright, turned_upright, upright_size
from worker.providers.local.pictures import MOST_PIXELS, NAME, check_pixels

T = TypeVar("T")
LEAST_SIDE_PX = 256  # trainers work at 512 px and more: a smaller picture would be enlarged and blurred
MOST_PICTURES = 60  # a result has at most 64 files in one list
MOST_NAMED = 20  # problems in one message
_TAKEN = frozenset({"image/jpeg", "image/png"})
_FITS = ImageLimits(most_pixels=2048 * 2048, most_bytes=1_600_000, content_types=_TAKEN)
_BAND_PX = 256  # rows
_MOST_PICTURE_BYTES = 50_000_000
_CAPTION_CHARACTERS = 20_000
_ALL_CAPTIONS_CHARACTERS = 200_000  # of one archive: the row and the result have them
_MOST_IGNORED = 20  # names
_ABOUT = re.compile(r"(?:read.?me|licen[cs]e|copying|notes?|credits|about|info|metadata)\b", re.IGNORECASE)
_LITTER = frozenset({"thumbs.db", "desktop.ini"})
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the same pictures make the same archive


@dataclass(frozen=True)
class Picture:
    """A picture that a training can use. `sha256` is the hash of its pixels."""

    media: Media
    sha256: str
    name: str = ""
    caption: str | None = None


@dataclass(frozen=True)
class Unpacked:
    """The pictures of an archive, and the first of its files that are neither a picture nor a caption."""

    pictures: tuple[Picture, ...]
    ignored: tuple[str, ...]
    ignored_count: int = 0


@dataclass(frozen=True)
class _Captions:
    """The caption of each picture that has one, by its name, and the files that they are in."""

    of: Mapping[str, str]
    files: tuple[str, ...]


def prepare(pictures: Sequence[Media]) -> list[Picture]:
    """Each picture as a training can use it. Raises `RequestRefusedError`, which names all that cannot be used."""
    problems = list[str]()
    found = [_tried(f"images.{n}", partial(prepared, media), problems) for n, media in enumerate(pictures)]
    _refuse(problems)
    return [replace(picture, name=f"images.{n}") for n, picture in enumerate(found) if picture]


def prepared(media: Media) -> Picture:
    """The picture, upright and in size, with the hash of its pixels. Raises `DefectError`."""
    check_pixels(media)
    media = turned_upright(media) or media
    width, height = upright_size(media)
    if min(width, height) < LEAST_SIDE_PX:
        raise DefectError(f"is {width}x{height} pixels; needed: {LEAST_SIDE_PX} on each side")
    digest = _hash_of_pixels(open_upright(media))
    seen = FileInfo(sniff(media.data[:HEAD_BYTES]), width, height)
    return Picture(fit_image(media.data, seen, _FITS), digest)


def _hash_of_pixels(picture: Image.Image) -> str:
    """In bands: copies of the whole picture would take more memory than the picture."""
    width, height = picture.size
    mode = "RGBA" if picture.has_transparency_data else "RGB"
    digest = hashlib.sha256(f"{width}x{height} {mode} ".encode())
    for top in range(0, height, _BAND_PX):
        band = picture.crop((0, top, width, min(top + _BAND_PX, height)))
        digest.update(band.convert(mode).tobytes())
    return digest.hexdigest()


def unpack(archive: Media) -> Unpacked:
    """The pictures of a zip in the order of their names. Raises `RequestRefusedError`, which names every bad file."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive.data)) as files:
            return _unpacked(files)
    except zipfile.BadZipFile as error:
        raise RequestRefusedError(f"the archive is not a zip ({error})", provider=NAME, kind="archive") from error


def _unpacked(files: zipfile.ZipFile) -> Unpacked:
    problems, names = list[str](), _names(files)
    pictures = [name for name in names if by_ending(name).kind == "image"]
    texts = [name for name in names if name.lower().endswith(".txt")]
    if not 1 <= len(pictures) <= MOST_PICTURES:
        text = f"the archive has {len(pictures)} pictures; allowed: 1 to {MOST_PICTURES}"
        raise RequestRefusedError(f"{text}, more without prepare and captions", provider=NAME, kind="count")
    captions = _captions(files, texts, pictures, problems)
    if sum(map(len, captions.of.values())) > _ALL_CAPTIONS_CHARACTERS:
        problems.append(f"the captions have more than {_ALL_CAPTIONS_CHARACTERS} characters together")
    tried = ((name, _tried(name, partial(_picture, files, name), problems)) for name in pictures)
    found = [replace(each, name=name, caption=captions.of.get(name)) for name, each in tried if each]
    _refuse(problems)
    ignored = [name for name in names if name not in {*pictures, *captions.files}]
    return Unpacked(tuple(found), tuple(ignored[:_MOST_IGNORED]), len(ignored))


def _names(files: zipfile.ZipFile) -> list[str]:
    """The names of the files in it, sorted, without folders and litter."""
    return sorted(info.filename for info in files.infolist() if not info.is_dir() and not _is_litter(info))


def pack(pictures: Sequence[Media], captions: Sequence[str]) -> bytes:
    """A zip of the pictures, each with its caption beside it if it has one."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for n, picture in enumerate(pictures):
            ending = sniff(picture.data[:HEAD_BYTES]).ending
            archive.writestr(zipfile.ZipInfo(f"{n:03}.{ending}", _EARLIEST), picture.data)
            if n < len(captions) and captions[n]:
                archive.writestr(zipfile.ZipInfo(f"{n:03}.txt", _EARLIEST), captions[n].encode())
    return file.getvalue()


def _picture(files: zipfile.ZipFile, name: str) -> Picture:
    stem = PurePosixPath(name).stem
    if stem.lower().endswith("_mask"):
        raise DefectError("masks are not kept; send the archive without prepare and captions")
    if files.getinfo(name).file_size > _MOST_PICTURE_BYTES:
        raise DefectError(f"is larger than {_MOST_PICTURE_BYTES / 1e6:g} MB")
    data = files.read(name)
    form, spool = sniff(data[:HEAD_BYTES]), io.BytesIO(data)
    if form.kind != "image":
        raise DefectError("is not a picture")
    if form == HEIC:
        return prepared(convert_apart(name, data, _TAKEN, MOST_PIXELS))
    seen = see_picture(spool, form, MOST_PIXELS, may_be_black=True)
    return prepared(convert(spool, form, _TAKEN) if must_convert(seen, _TAKEN) else Media(data, form.content_type))


def _captions(files: zipfile.ZipFile, texts: Sequence[str], pictures: Sequence[str], problems: list[str]) -> _Captions:
    """The caption of each picture that has one: the .txt of the same name in the same folder.

    Other texts, such as README.txt, are no captions. If not even one has a picture, they may be captions with wrong
    names, and are problems.
    """
    owners = dict[str, list[str]]()
    for name in pictures:
        owners.setdefault(_without_ending(name), []).append(name)
    found = dict[str, str]()
    own = [name for name in texts if _without_ending(name) in owners]
    if not own:
        others = [name for name in texts if not _ABOUT.match(PurePosixPath(name).name)]
        problems += [f"{name}: has no picture beside it" for name in others]
    for name in own:
        of = owners[_without_ending(name)]
        if (text := _tried(name, partial(_text, files, name), problems)) is not None:
            found |= dict.fromkeys(of, text)
    return _Captions(found, tuple(own))


def _text(files: zipfile.ZipFile, name: str) -> str:
    if files.getinfo(name).file_size > 4 * _CAPTION_CHARACTERS:
        raise DefectError(f"a caption has at most {_CAPTION_CHARACTERS} characters")
    try:
        text = files.read(name).decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise DefectError("a caption is a text in UTF-8") from error
    if not text or len(text) > _CAPTION_CHARACTERS:
        raise DefectError(f"a caption has 1 to {_CAPTION_CHARACTERS} characters")
    return text


def _tried(name: str, work: Callable[[], T], problems: list[str]) -> T | None:
    """What the work returns; None if it failed, and then `problems` says why."""
    try:
        return work()
    except (DefectError, *UNREADABLE, zipfile.BadZipFile) as error:
        problems.append(f"{name}: {error}")
    return None


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        more = f"; and {len(problems) - MOST_NAMED} more" if len(problems) > MOST_NAMED else ""
        raise RequestRefusedError("; ".join(problems[:MOST_NAMED]) + more, provider=NAME, kind="pictures")


def _is_litter(info: zipfile.ZipInfo) -> bool:
    """What systems leave in archives: hidden files, macOS's resource forks, thumbnails."""
    parts = PurePosixPath(info.filename).parts
    return any(part.startswith(".") or part == "__MACOSX" for part in parts) or parts[-1].lower() in _LITTER


def _without_ending(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))
