"""The file formats that a piece may have: how the first bytes look, the content type, the ending of its name.

The ending comes from the file's bytes, so that a folder store can choose the content type by it. A piece `as_found`
whose bytes are of no known format keeps the ending that its provider gave it.
`picture`, `video`, `audio` and `weights` check whether the rest of the file is whole.
"""

from dataclasses import dataclass

from worker.jobs.job import Kind

HEAD_BYTES = 64  # what `sniff` needs


@dataclass(frozen=True)
class Format:
    """A file format. `reader` is its name in Pillow or FFmpeg."""

    kind: Kind
    content_type: str
    ending: str
    reader: str = ""


HEIC = Format("image", "image/heic", "heic", "HEIF")
FORMATS = (
    Format("image", "image/png", "png", "PNG"),
    Format("image", "image/jpeg", "jpg", "JPEG"),
    Format("image", "image/webp", "webp", "WEBP"),
    Format("image", "image/gif", "gif", "GIF"),
    Format("image", "image/avif", "avif", "AVIF"),
    HEIC,
    Format("image", "image/bmp", "bmp", "BMP"),
    Format("image", "image/tiff", "tif", "TIFF"),
    Format("video", "video/mp4", "mp4", "mp4"),
    Format("video", "video/quicktime", "mov", "mov"),
    Format("video", "video/webm", "webm", "webm"),
    Format("video", "video/x-matroska", "mkv", "matroska"),
    Format("audio", "audio/wav", "wav", "wav"),
    Format("audio", "audio/mpeg", "mp3", "mp3"),
    Format("audio", "audio/flac", "flac", "flac"),
    Format("audio", "audio/ogg", "ogg", "ogg"),
    Format("audio", "audio/mp4", "m4a", "mp4"),
    Format("weights", "application/vnd.safetensors", "safetensors"),
    Format("json", "application/json", "json"),
)
# Files that nothing here decodes; a browser runs none of these types.
OTHERS = (
    Format("file", "application/zip", "zip"),
    Format("file", "application/gzip", "gz"),
    Format("file", "model/gltf-binary", "glb"),
    Format("file", "model/gltf+json", "gltf"),
    Format("file", "text/plain", "txt"),
    Format("file", "text/csv", "csv"),
    Format("file", "text/vtt", "vtt"),
    Format("file", "application/x-subrip", "srt"),
)
ANYTHING = Format("file", "application/octet-stream", "bin")

_MP3_FRAMES = (b"\xfb", b"\xf3", b"\xf2", b"\xfa")  # MPEG layer III, of each version
_BY_ENDING = {form.ending: form for form in (*FORMATS, *OTHERS)}
_BY_TYPE = {form.content_type: form for form in (*FORMATS, *OTHERS)}
_SAME_ENDING = {"jpeg": "jpg", "mpo": "jpg", "tiff": "tif", "heif": "heic", "apng": "png", "jfif": "jpg"}
_SAME_TYPE = {
    "image/jpg": "image/jpeg",
    "image/heif": "image/heic",
    "image/x-ms-bmp": "image/bmp",
    "image/apng": "image/png",
}
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def by_ending(name: str) -> Format:
    """The format that a file name or the path of a URL announces; `ANYTHING` for an ending that is not in the table."""
    ending = name.rpartition(".")[2].lower()
    return _BY_ENDING.get(_SAME_ENDING.get(ending, ending), ANYTHING)


def by_content_type(content_type: str) -> Format:
    """The format that a Content-Type header announces; `ANYTHING` for one that is not in the table."""
    given = content_type.partition(";")[0].strip().lower()
    return _BY_TYPE.get(_SAME_TYPE.get(given, given), ANYTHING)


def sniff(head: bytes) -> Format:
    """The picture, video or sound format that the first bytes show; `ANYTHING` for all else."""
    return _BY_ENDING.get(_ending_of(head), ANYTHING)


def _ending_of(head: bytes) -> str:
    if head[4:8] == b"ftyp":
        return _ending_of_ftyp(head)
    if head[:4] == b"\x1a\x45\xdf\xa3":  # EBML; the DocType follows within the first element
        return "webm" if b"webm" in head else "mkv"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "wav"
    if head[:1] == b"\xff" and head[1:2] in _MP3_FRAMES:
        return "mp3"
    starts = {
        b"ID3": "mp3",
        b"fLaC": "flac",
        b"OggS": "ogg",
        b"\x89PNG\r\n\x1a\n": "png",
        b"\xff\xd8\xff": "jpg",
        b"GIF87a": "gif",
        b"GIF89a": "gif",
        b"II*\0": "tif",
        b"MM\0*": "tif",
    }
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":  # two reserved numbers
        return "bmp"
    return next((ending for start, ending in starts.items() if head.startswith(start)), "")


def _ending_of_ftyp(head: bytes) -> str:
    """By the brand; `mif1` stands for HEIC and AVIF, and a brand that it is compatible with says which."""
    brand, others = head[8:12], head[16 : min(len(head), int.from_bytes(head[:4], "big"))]
    if brand in {b"avif", b"avis"} or (brand in {b"mif1", b"msf1"} and (b"avif" in others or b"avis" in others)):
        return "avif"
    if brand in _HEIC_BRANDS:
        return "heic"
    return {b"qt  ": "mov", b"M4A ": "m4a"}.get(brand, "mp4")


def describe(head: bytes, announced: str) -> str:
    """What a file seems to be, for a message: by its first bytes, else by the announced type."""
    found = sniff(head)
    if found is not ANYTHING:
        return found.content_type
    if head.lstrip()[:1] == b"<":
        return announced if "xml" in announced or "svg" in announced else "text/html"
    if head.lstrip()[:1] in {b"{", b"["}:
        return "application/json"
    return announced or "unknown bytes"
