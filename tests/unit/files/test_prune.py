"""Files whose time is over are deleted, and no others."""

import io
import os
from pathlib import Path

import pytest
from obstore.store import LocalStore, MemoryStore

from config.file_days import read_file_days
from config.settings import GatewaySettings, Settings, StoreSettings
from worker import client
from worker.errors import UnknownJobError
from worker.files.prune import prune
from worker.files.signing import verify
from worker.files.store import GatewayUrls, ObjectStore
from worker.jobs.file_keys import BadKeyError, days_of, owner_of

DAY_S = 86400
SECRET = "a secret of the tests"
KEYS = (
    "jobs/d1/5b0f/images-0.png",
    "jobs/d7/t-acme/5b0f/images-0.png",
    "jobs/t-acme/5b0f/images-0.png",
    "jobs/t-other/5b0f/images-0.png",
    "jobs/5b0f/images-0.png",
    "jobs/d3/images-0.png",  # an old key: the id of the job was d3
    "outcomes/5b0f/1.json",
    "doctor/probe.txt",
)
DAYS = read_file_days("30,tenant:acme=3,tenant:other=0")


async def _filled(objects: LocalStore | MemoryStore) -> ObjectStore:
    store = ObjectStore(objects, GatewayUrls(SECRET, "http://gateway", lambda: 0))
    for key in KEYS:
        await store.put(key, io.BytesIO(b"xyz"), "")
    return store


async def _left(store: ObjectStore) -> set[str]:
    return {entry.key for prefix in ("jobs/", "outcomes/", "doctor/") async for entry in store.entries(prefix)}


@pytest.mark.parametrize(
    ("age_days", "deleted"), [(0.9, ()), (1.1, (0,)), (3.1, (0, 2)), (7.1, (0, 1, 2)), (31, (0, 1, 2, 4, 5, 6))]
)
async def test_each_file_has_the_days_of_its_key_or_of_its_tenant_or_of_all(
    age_days: float, deleted: tuple[int, ...]
) -> None:
    store = await _filled(MemoryStore())
    now = max([entry.modified_at async for entry in store.entries("jobs/")]) + age_days * DAY_S
    gone = {KEYS[n] for n in deleted}

    tried = await prune(store, DAYS, None, dry_run=True, clock=lambda: now)
    assert (tried.files, tried.bytes, tried.kept) == (len(gone), 3 * len(gone), len(KEYS) - 1 - len(gone))
    assert await _left(store) == set(KEYS), "a dry run deletes nothing"

    assert await prune(store, DAYS, None, dry_run=False, clock=lambda: now) == tried
    assert await _left(store) == set(KEYS) - gone


async def test_without_days_nothing_is_deleted_but_what_a_key_says() -> None:
    store = await _filled(MemoryStore())
    now = max([entry.modified_at async for entry in store.entries("jobs/")]) + 20 * DAY_S
    found = await prune(store, read_file_days(""), None, dry_run=False, clock=lambda: now)
    assert (found.files, dict(found.by_owner)) == (2, {"": 1, "t-acme": 1})


async def test_emptied_folders_go_too(tmp_path: Path) -> None:
    store = await _filled(LocalStore(tmp_path))
    for key in KEYS:
        os.utime(tmp_path / key, (1000, 1000))
    await store.put("jobs/5b0f/images-1.png", io.BytesIO(b"new"), "")
    await prune(store, DAYS, tmp_path, dry_run=False)
    assert not (tmp_path / "jobs/t-acme/5b0f").exists()
    assert (tmp_path / "jobs/5b0f/images-1.png").exists()
    assert not (tmp_path / "jobs/5b0f/images-0.png").exists()


def test_days_and_tenant_are_read_from_the_key() -> None:
    assert [(days_of(key), owner_of(key)) for key in KEYS[:6]] == [
        (1, None), (7, "t-acme"), (None, "t-acme"), (None, "t-other"), (None, None), (None, None),
    ]  # fmt: skip


def test_a_new_url_is_made_from_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        store=StoreSettings(store_url=str(tmp_path / "not-here"), url_days=2),
        gateway=GatewaySettings(public_url="https://files.example", secret=SECRET),  # type: ignore[arg-type]
    )
    monkeypatch.setattr(client, "Settings", lambda: settings)
    url, _, query = client.url(KEYS[1], tenant="acme").partition("?")
    assert url == f"https://files.example/files/{KEYS[1]}"
    expires, signature = (part.partition("=")[2] for part in query.split("&"))
    verify(SECRET, KEYS[1], expires, signature, now=int(expires) - 2 * DAY_S + 5)
    assert client.url(KEYS[4])
    assert not (tmp_path / "not-here").exists(), "a backend needs no folder"
    for key, tenant in ((KEYS[1], "other"), (KEYS[4], "acme")):
        with pytest.raises(UnknownJobError):
            client.url(key, tenant=tenant)
    for bad in ("outcomes/5b0f/1.json", "jobs/../x", "https://files.example/files/jobs/a/b"):
        with pytest.raises(BadKeyError):
            client.url(bad)
