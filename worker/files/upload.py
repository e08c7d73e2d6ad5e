"""Puts a caller's own file into our store, so that a request can name it by its key. A job checks what is in it."""

import hashlib
from pathlib import Path
from typing import Any, BinaryIO, cast

from config.settings import StoreSettings
from worker.errors import InvalidRequestError, ServiceUnavailableError
from worker.files.archive import TAR_GZ, ZIP, is_archive
from worker.files.base import Store
from worker.files.formats import ANYTHING, HEAD_BYTES, Format, by_ending, sniff
from worker.files.limits import FetchLimits
from worker.files.store import folder_of
from worker.jobs.file_keys import uploaded_key


def format_of(head: bytes, name: str = "") -> Format:
    """The format that the first bytes show, else the one of the file name's ending."""
    if head.startswith(b"\x1f\x8b") and name and not name.lower().endswith((".tar.gz", ".tgz")):
        return by_ending(".gz")  # one file, such as volume.nii.gz
    if is_archive(head):
        return ZIP if head.startswith(b"PK") else TAR_GZ
    form = sniff(head)
    return by_ending(name) if form is ANYTHING else form


def input_key(file: BinaryIO, form: Format, tenant: str | None, name: str = "") -> str:
    """The key of a caller's file. It has the hash of the content and the name: a tenant's same file is stored once."""
    file.seek(0)
    digest = hashlib.file_digest(cast(Any, file), "sha256").hexdigest()
    file.seek(0)
    return uploaded_key(tenant, digest, name, form.ending)


async def upload_file(store: Store, file: BinaryIO, name: str, tenant: str | None, most_bytes: int) -> str:
    """Store the file and return its key. It is streamed, and never whole in memory.

    Raises `InvalidRequestError` for an empty or too large file, `ServiceUnavailableError` when the store takes none.
    """
    form = format_of(file.read(HEAD_BYTES), name)
    size, most = file.seek(0, 2), FetchLimits(most_bytes).bytes_of(form.kind)
    if not size:
        raise InvalidRequestError("upload: the file is empty")
    if size > most:
        raise InvalidRequestError(f"upload: {form.content_type} of {size / 1e6:.1f} MB; allowed: {most / 1e6:g} MB")
    key = input_key(file, form, tenant, name)
    await store.put(key, file, form.content_type)
    return key


def check_folder(store: StoreSettings) -> None:
    """Raise `ServiceUnavailableError` for a folder store whose folder is not here: workers would not find the file."""
    folder = folder_of(store)
    if folder is not None and not Path(folder).is_dir():
        text = f"upload: there is no folder {folder}; KILNHAND_STORE_URL must name the folder or bucket of the workers"
        raise ServiceUnavailableError(text, kind="store")
