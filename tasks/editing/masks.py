"""The check of a picture and its mask, before anything is sent. See `worker.files.file_checks`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from worker.files.file_checks import Prepared
from worker.files.media import Media
from worker.jobs.job import Step


class MaskCheck:
    """A mask has the picture's size, paints a part of it, and is white there. The result keeps the picture's shape."""

    def looks_at(self, request: Mapping[str, Any]) -> tuple[str, ...]:
        """The picture and the mask."""
        return ("image", "mask")

    def prepare(self, request: Mapping[str, Any], step: Step, files: Mapping[str, Media]) -> Prepared:
        """Refuse a mask that does not fit, and make any other white where it paints."""
        from worker.files.masks import prepared_mask  # they import Pillow, which producers do without
        from worker.files.upright import upright_copy, upright_size

        picture, mask = files["image"], files["mask"]
        width, height = upright_size(picture)
        pieces = tuple(replace(piece, ratio=width / height) for piece in step.pieces)
        changed = {"image": upright_copy(picture), "mask": prepared_mask(mask, picture, request.get("paints"))}
        return Prepared(replace(step, pieces=pieces), changed)


def check_apart(image: str, mask: str) -> None:
    """Raise `ValueError` if the picture is given as its own mask."""
    if image == mask:
        raise ValueError("mask: is the same file as image")
