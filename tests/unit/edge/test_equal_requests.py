"""What makes two requests equal."""

import io
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.unit.files.conftest import Bench
from worker.edge.equal_requests import file_names, request_name
from worker.jobs.file_arguments import FileArgument
from worker.jobs.file_owners import FileOwners
from worker.jobs.job import Options

OWNERS = FileOwners("http://gateway.example:8080")


def picture(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, "PNG")
    return file.getvalue()


def name(fields: dict[str, Any], files: dict[str, str] | None = None, **options: Any) -> str:
    return request_name("t", fields, files or {}, Options(**options))


def test_fields_and_routes_count_and_other_options_do_not() -> None:
    assert name({"a": 1, "b": [2]}) == name({"b": [2], "a": 1}) == name({"a": 1, "b": [2]}, priority="high", max_usd=1)
    others = [{"a": 2, "b": [2]}, {"a": 1}]
    assert len({name({"a": 1, "b": [2]}), *map(name, others), name({"a": 1, "b": [2]}, providers=("fal",))}) == 4


def test_a_file_counts_by_its_name_wherever_it_is() -> None:
    files = {"https://a/x.png": "sha256:1", "jobs/b/images-0.png": "sha256:1"}
    fields = [{"images": [url], "loras": [{"url": url}]} for url in files]
    assert name(fields[0], files) == name(fields[1], files) != name(fields[0])


async def test_pictures_count_by_content_and_large_files_by_place() -> None:
    red, blue = picture("red"), picture("blue")
    bench = Bench(lambda request: httpx.Response(200, content=blue if "blue" in str(request.url) else red))
    refs = ["https://x/one.png", "https://x/two.png", "https://x/blue.png"]
    files = [FileArgument(f"images.{n}", "image", ref) for n, ref in enumerate([*refs, refs[0]])]
    ours = "http://gateway.example:8080/files/jobs/a/weights-0.safetensors?expires=1&signature=2"
    files += [FileArgument("loras.0.path", "weights", ref) for ref in (ours, "https://x/w.safetensors")]
    found = await file_names(files, bench.inputs, OWNERS, None)
    assert found[refs[0]] == found[refs[1]] != found[refs[2]]
    assert bench.asked[refs[0]] == 1 and not bench.asked["https://x/w.safetensors"]
    assert found[ours] == "jobs/a/weights-0.safetensors"
    assert found["https://x/w.safetensors"] == "https://x/w.safetensors"
    with pytest.raises(Exception, match=r"images\.0"):
        await file_names([FileArgument("images.0", "image", "jobs/none/a.png")], bench.inputs, OWNERS, None)
    bench.verifier.close()
    await bench.client.aclose()
