"""Which providers a worker opens, and which SDKs it imports for them."""

import json
import subprocess
import sys
from pathlib import Path

from config.settings import FalSettings, ForeignSettings, Settings
from worker.files.input_refs import may_be_handed_on
from worker.services import _download_policy, _hand_on_policy

CODE = """
import asyncio, json, os, sys
from contextlib import AsyncExitStack
from worker.providers.table import what_to_set
from config.settings import Settings
from worker.files.memory_budget import MemoryBudget
from worker.services import _providers

async def opened():
    settings = Settings()
    names = [name for name, lacks in what_to_set(settings).items() if lacks is None]
    async with AsyncExitStack() as stack:
        print(*await _providers(stack, settings, MemoryBudget(1), names))

for environment in json.loads(sys.argv[1]):
    if os.fork() == 0:  # what one case imports, the next has not
        os.environ.update(environment)
        asyncio.run(opened())
        print(*sorted({"google.genai", "anthropic", "fal_client"} & set(sys.modules)), flush=True)
        os._exit(0)
    os.wait()
"""
CASES = [
    ({"KILNHAND_FAL_BASE_URL": "http://127.0.0.1:1"}, "fal fal-stream fal-direct local", "fal_client"),
    (
        {"FAL_KEY": "id:secret", "GEMINI_API_KEY": "k"},
        "fal fal-stream fal-direct gemini local",
        "fal_client google.genai",
    ),
    ({"ANTHROPIC_API_KEY": "k"}, "anthropic local", "anthropic"),
    ({"KILNHAND_GOOGLE_BASE_URL": "http://127.0.0.1:1"}, "vertex gemini local", "google.genai"),
]


def test_a_provider_that_is_disabled_is_not_imported(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CODE, json.dumps([environment for environment, _, _ in CASES])]
    bare = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    ran = subprocess.run(command, env=bare, cwd=tmp_path, capture_output=True, text=True)
    lines = ran.stdout.splitlines()
    assert list(zip(lines[::2], lines[1::2], strict=True)) == [case[1:] for case in CASES], ran.stderr[-2000:]


def test_what_is_opened_to_us_is_not_handed_on_to_a_provider() -> None:
    foreign = ForeignSettings(allow_inside="minio:9000", _env_file=None)  # type: ignore[call-arg]
    settings = Settings(foreign=foreign, fal=FalSettings(fal_base_url="http://127.0.0.1:9100"))
    bucket, twin = "http://minio:9000/b/weights-0.safetensors?sig=x", "http://127.0.0.1:9100/cdn/files/a"
    assert [may_be_handed_on(url, _download_policy(settings)) for url in (bucket, twin)] == [True, True]
    assert [may_be_handed_on(url, _hand_on_policy(settings)) for url in (bucket, twin)] == [False, True]


def test_what_is_opened_to_us_is_not_handed_on_even_where_its_name_looks_public() -> None:
    foreign = ForeignSettings(allow_inside="files.example.com:9000,8.8.8.0/24", _env_file=None)  # type: ignore[call-arg]
    policy = _hand_on_policy(Settings(foreign=foreign, fal=FalSettings(fal_base_url="http://127.0.0.1:9100")))
    hosts = ("files.example.com:9000", "8.8.8.8", "files.example.com", "1.1.1.1")
    assert [may_be_handed_on(f"http://{host}/a.zip", policy) for host in hosts] == [False, False, True, True]
