"""Which pictures a provider is not given as they are, from the reference alone. Pure: nothing is fetched or decoded."""

import io
from urllib.parse import urlsplit

from PIL import Image

from worker.files.convert import PLAIN_TYPES, must_convert
from worker.files.data_uri import inline_bytes, is_plain
from worker.files.file_info import FileInfo
from worker.files.formats import HEAD_BYTES, by_ending, sniff
from worker.files.picture import UNREADABLE, oddity_of


def has_odd_ending(url: str) -> bool:
    """Whether the path of a URL ends like a picture that endpoints do not take: .heic, .avif, .bmp, .tiff, .gif."""
    form = by_ending(urlsplit(url).path)
    return form.kind == "image" and form.content_type not in PLAIN_TYPES


def is_odd_inline(uri: str) -> bool:
    """Whether a data: URI is written in an unusual way, or has a picture that endpoints do not take."""
    if not is_plain(uri):
        return True
    try:
        content = inline_bytes(uri)
        form = sniff(content[:HEAD_BYTES])
        if form.kind != "image":
            return False  # the provider says what it is
        with Image.open(io.BytesIO(content), formats=[form.reader]) as picture:  # the header only
            return must_convert(FileInfo(form, oddity=oddity_of(picture)), PLAIN_TYPES)
    except (*UNREADABLE, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return form_is_odd(uri)


def form_is_odd(uri: str) -> bool:
    """Whether the first bytes are of a format that endpoints do not take; of a picture that cannot be read."""
    form = sniff(inline_bytes(uri)[:HEAD_BYTES])
    return form.kind == "image" and form.content_type not in PLAIN_TYPES
