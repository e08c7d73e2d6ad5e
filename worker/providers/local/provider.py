"""The provider of `worker.providers.local`: it answers at once, and nothing of it costs money."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from math import prod
from typing import Any

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from config.settings import Settings
from worker.errors import RequestRefusedError
from worker.files.media import Media
from worker.files.memory_budget import MB, MemoryBudget
from worker.files.picture import UNREADABLE
from worker.jobs.status import VALUES
from worker.providers.at_once import AtOnceProvider
from worker.providers.base import (
    Call,
    Provider,
    Reply,
)
from worker.providers.local import dataset
from worker.providers.local.pictures import NAME, Box, blend, contact_sheet, cut, grow_mask, overlay, size_of

_ONE_BY_ONE = frozenset({"prepare-pictures", "unpack-archive", "pack-archive"})  # they decode one picture at a time
LARGE_PIXELS = 4_000_000  # a picture above takes more memory than is reserved, so its work has no other beside it
AT_ONCE = 2  # pieces of work: each uses a core and the memory of some decoded pictures


async def open_provider(settings: Settings, memory: MemoryBudget) -> Provider:
    """See `worker.providers.table`. It is always enabled."""
    return Local()


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Growth(_Arguments):
    by: int = Field(ge=0, le=1024)
    feather: int = Field(0, ge=0, le=1024)


class _Box(_Arguments):
    box: Box | None = None


class _Blending(_Box):
    feather: int = Field(0, ge=0, le=1024)


class _Columns(_Arguments):
    columns: int = Field(ge=1, le=16)


class _Captions(_Arguments):
    captions: list[str] = []


class Local(AtOnceProvider):
    """See `worker.providers.base.Provider`."""

    name = NAME
    call_s = 120.0

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._alone = asyncio.Lock()

    def call_bytes(self, endpoint: str, arguments: Mapping[str, Any], file_bytes: int) -> int:
        """For pictures up to `LARGE_PIXELS`: copies of a picture, which is about ten times as large as its file.

        Nobody knows yet how many pixels the files have. Work on larger ones takes up to 0.8 GB (measured: 20 bytes a
        pixel for data sets, 17 for blending, of `MOST_PIXELS`), once in a process.
        """
        copies = 3 if endpoint in _ONE_BY_ONE else 40
        return 100 * MB + copies * file_bytes

    async def submit(self, call: Call) -> Reply:
        """Do the work in a thread. Raises `RequestRefusedError` for arguments that do not fit the pictures."""
        work = _WORK.get(call.endpoint)
        if work is None:
            raise RequestRefusedError(f"{call.endpoint} is not known; known: {', '.join(_WORK)}", provider=NAME)
        async with self._turn(call):
            try:
                return await asyncio.to_thread(partial(work, call))
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                field = ".".join(map(str, first["loc"]))
                raise RequestRefusedError(f"{field}: {first['msg']}", provider=NAME) from error
            except (*UNREADABLE, Image.DecompressionBombError) as error:
                raise RequestRefusedError(f"a picture cannot be read: {error}", provider=NAME) from error

    @asynccontextmanager
    async def _turn(self, call: Call) -> AsyncIterator[None]:
        """One of the turns; all of them for work on large pictures, of which one waits for turns at a time."""
        async with AsyncExitStack() as held:
            is_large = any(_is_large(media) for media in call.files)
            if is_large:
                await held.enter_async_context(self._alone)
            for _ in range(AT_ONCE if is_large else 1):
                await held.enter_async_context(self._turns)
            yield


def _grow(call: Call) -> Reply:
    asked = _Growth.model_validate(call.arguments)
    return Reply({}, files=(grow_mask(call.files[0], asked.by, asked.feather),))


def _cut(call: Call) -> Reply:
    box = _Box.model_validate(call.arguments).box
    if box is None:
        raise RequestRefusedError("box: is required", provider=NAME)
    return Reply({}, files=(cut(call.files[0], box),))


def _blend(call: Call) -> Reply:
    base, over, *masks = call.files
    asked = _Blending.model_validate(call.arguments)
    done = blend(base, over, masks[0] if masks else None, asked.box, asked.feather)
    of_model = {"mean": done.model_difference, "most": done.model_most}
    outside = {"of_edit": of_model, "of_result": {"mean": done.difference, "most": done.most}}
    return Reply({VALUES: {"outside_mask": outside}}, files=(done.data,))


def _overlay(call: Call) -> Reply:
    picture, *masks = call.files
    return Reply({}, files=(overlay(picture, masks),))


def _sheet(call: Call) -> Reply:
    columns = _Columns.model_validate(call.arguments).columns
    return Reply({}, files=(contact_sheet(call.files, columns),))


def _prepare(call: Call) -> Reply:
    return _of_pictures(dataset.Unpacked(tuple(dataset.prepare(call.files)), ()))


def _unpack(call: Call) -> Reply:
    return _of_pictures(dataset.unpack(call.files[0]))


def _of_pictures(found: dataset.Unpacked) -> Reply:
    said = [{"name": each.name, "sha256": each.sha256, "caption": each.caption} for each in found.pictures]
    values = {"pictures": said, "ignored": list(found.ignored), "ignored_count": found.ignored_count}
    return Reply({VALUES: values}, files=tuple(each.media.data for each in found.pictures))


def _pack(call: Call) -> Reply:
    captions = _Captions.model_validate(call.arguments).captions
    return Reply({}, files=(dataset.pack(call.files, captions),))


def _is_large(media: Media) -> bool:
    """Whether it has many pixels, or may have: an archive, and what cannot be read."""
    try:
        return prod(size_of(media)) > LARGE_PIXELS
    except (*UNREADABLE, Image.DecompressionBombError):
        return True


_WORK: Mapping[str, Callable[[Call], Reply]] = {
    "grow-mask": _grow,
    "cut": _cut,
    "blend": _blend,
    "contact-sheet": _sheet,
    "overlay": _overlay,
    "prepare-pictures": _prepare,
    "unpack-archive": _unpack,
    "pack-archive": _pack,
}
