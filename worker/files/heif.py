"""HEIC, the photos of iPhones. libheif decodes them, and only in the process of `decode_process`.

A worker's own process never opens one: HEVC decoders have had many holes. How much memory the decoder may take is read
from the header by hand, without libheif.
"""

import re
import struct
from typing import BinaryIO

from worker.files.file_info import DefectError
from worker.files.picture import too_many_pixels

HEADER_BYTES = 1 << 20  # phones write the sizes into the first few kB
BYTES_A_PIXEL = 8  # measured with 12 and 48 megapixels: 7.3
_SIZE = re.compile(rb"ispe....(.{8})", re.DOTALL)  # version and flags, then width and height


def decoder_bytes(file: BinaryIO, most_pixels: int) -> int:
    """The memory that decoding takes, by the largest size that the header declares; 0 if it declares none.

    Sizes are properties `ispe` (ISO/IEC 23008-12, 6.5.3). Raises `DefectError` for more than `most_pixels`.
    """
    file.seek(0)
    sizes = (struct.unpack(">II", found) for found in _SIZE.findall(file.read(HEADER_BYTES)))
    pixels = max((width * height for width, height in sizes), default=0)
    if pixels > most_pixels:
        raise DefectError(too_many_pixels(most_pixels), "too_many_pixels")
    return pixels * BYTES_A_PIXEL


def add_decoder() -> None:
    """Let Pillow open HEIC in this process. It turns a picture upright as its header says."""
    import pi_heif  # only here: a worker's own process does without

    pi_heif.register_heif_opener(thumbnails=False)
