"""Any endpoint and any answer: which arguments are files, which parts of an answer are, and what is refused."""

import base64
import json
from typing import Any

import pytest

from config.catalogue import SHARED, UnknownModelError, load_catalogue
from config.mapping import arguments_for
from tasks.generation import run, workflow
from tasks.generation.any_answer import FILES, MOST_ANSWER_BYTES, AnyAnswer
from tests.unit.tasks.pictures import photo
from worker.errors import InvalidRequestError
from worker.files.needed_answer import needed_answer
from worker.jobs.raw_arguments import kind_of
from worker.jobs.raw_result import by_kind, urls_of_provider, with_file_urls
from worker.jobs.status import VALUES
from worker.routing.routes import call_files

PNG = base64.b64encode(photo().data).decode()
URI = f"data:image/png;base64,{PNG}"


def _read(**given: Any) -> Any:
    return run._read(given)[2]


def _checked(output: Any, **request: Any) -> dict[str, Any]:
    return dict(AnyAnswer().check(request, output, {}))


@pytest.mark.parametrize(
    ("text", "field", "kind"),
    [
        ("https://example.com/a.png", "x", "image"),
        ("https://example.com/a", "start_image_url", "image"),
        ("https://example.com/a", "mask_url", "mask"),
        ("https://example.com/a.mp4?x=1", "x", "video"),
        ("https://example.com/lora.safetensors", "path", "weights"),
        ("https://example.com/set.zip", "x", "archive"),
        ("https://example.com/set.tar.gz", "x", "archive"),
        ("jobs/t-a/b/volume-0.gz", "x", "file"),
        ("https://example.com/volume.nii.gz", "x", "file"),
        ("data:application/gzip;base64,AAAA", "x", "file"),
        ("https://example.com/a", "mesh_url", "file"),
        ("https://example.com/a", "homepage", None),
        ("jobs/t-a/b/files-0.glb", "x", "file"),
        ("jobs/t-a/b/images-0.png", "prompt", "image"),
        ("data:image/png;base64,AAAA", "x", "image"),
        ("data:image/svg+xml;base64,AAAA", "x", "file"),
        ("data:application/zip;base64,AAAA", "x", "archive"),
        ("data: what the table shows, in words", "prompt", None),
        ("jobs are hard to find", "prompt", None),
        ("https://[bad", "image_url", None),
    ],
)
def test_a_text_is_a_file_if_all_of_it_is_a_reference(text: str, field: str, kind: str | None) -> None:
    assert kind_of(text, field) == kind


def test_arguments_are_sent_by_their_own_names_and_files_are_recorded_at_any_depth() -> None:
    given = {"image": URI, "duration_s": 5, "a.b": {"c": [{"mask_url": "https://example.com/m"}]}, "model": "x"}

    step = _read(model="acme/odd", arguments=given)

    assert step.arguments == given
    assert step.files == {"image": "image", "a.b.c.0.mask_url": "mask"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "acme/odd", "arguments": {"sync_mode": True}}, "arguments: sync_mode is not possible"),
        ({"model": "acme/odd", "arguments": {"a": {"b": "jobs/../x"}}}, "arguments: a.b: not the key of a file"),
        ({"model": "acme/odd", "arguments": {"image_url": "http://"}}, "arguments: image_url: must be an http"),
        ({"model": "acme/odd", "arguments": {"image_url": "jobs/t-other/d/x-0.png"}}, "image_url: "),
        ({"model": "acme/odd", "arguments": {}, "max_usd": 1}, "max_usd: is 1 USD, and the price of acme/odd"),
        ({"model": "acme/odd", "providers": ["vertex"]}, "acme/odd has no route to"),
        ({"model": "claude-haiku-5-5"}, "model: claude-haiku-5-5 is served by anthropic"),
        ({"model": "flux-schnel"}, "did you mean flux-schnell"),
        ({"model": "acme/odd", "prompt": "a"}, "prompt: is not a parameter of this task"),
        ({"arguments": {}}, "model: field required"),
    ],
)
def test_what_cannot_be_run_is_refused_by_its_field(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        _read(**given)

    assert message in str(refused.value)


def test_a_name_of_the_catalogue_stands_for_its_endpoint_without_our_names() -> None:
    catalogue = load_catalogue()
    model = catalogue.find_for("generation.run", "flux-schnell")

    assert (model.name, model.passthrough, model.price) == ("fal-ai/flux/schnell", True, None)
    assert model.first_route.write == {}
    assert catalogue.find_for("generation.run", model.name) == model
    with pytest.raises(UnknownModelError):
        catalogue.find_for("generation.run", "grow-mask")


@pytest.mark.parametrize(("mode", "provider"), [("queue", "fal"), ("direct", "fal-direct"), ("stream", "fal-stream")])
@pytest.mark.parametrize("name", ["flux-schnell", "acme/odd"])
def test_the_mode_says_which_provider_calls_the_same_endpoint(name: str, mode: str, provider: str) -> None:
    catalogue, step = load_catalogue(), _read(model=name, arguments={"prompt": "a"}, mode=mode)
    model = catalogue.find_for("generation.run", step.model)
    endpoint = "fal-ai/flux/schnell" if name == "flux-schnell" else name
    assert [(route.provider, route.endpoint) for route in model.routes] == [(provider, endpoint)]
    assert (model.name, model.passthrough, model.price) == (step.model, True, None)
    if mode != "queue":
        assert step.model == f"{mode}:{endpoint}"
        shared = catalogue.find_for("generation.run", f"{SHARED}{step.model}")
        assert shared.first_route.endpoint == step.model


def test_another_mode_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="mode: input should be 'queue', 'direct' or 'stream'"):
        _read(model="acme/odd", mode="socket")


@pytest.mark.parametrize(
    ("output", "urls"),
    [
        ({"images": [{"url": "https://v3.fal.media/files/a/b", "width": 3}]}, ["https://v3.fal.media/files/a/b"]),
        ({"output": ["https://x.fal.media/a", "https://x.fal.media/a"]}, ["https://x.fal.media/a"]),
        ({"a": {"b": [[{"c": "https://example.com/m.glb"}]]}}, ["https://example.com/m.glb"]),
        ({"o": {"url": "https://example.com/x", "file_name": "x.bin"}}, ["https://example.com/x"]),
        ({"o": {"url": "https://example.com/page", "title": "T"}}, []),
        ({"o": "https://example.com/page"}, []),
        ({"o": "See https://example.com/a.png"}, []),
        ({"o": URI}, [URI]),
        ({"b64_json": PNG}, [URI]),
        ({"o": "data: none", "words": "a" * 400, "https://example.com/k.png": 1}, []),
        ({"echo": "https://example.com/mine.png"}, []),
        ({"video": {"url": "https://a.fal.media/v.mp4", "poster": {"url": "https://a.fal.media/p.png"}}},
         ["https://a.fal.media/p.png", "https://a.fal.media/v.mp4"]),
    ],
)  # fmt: skip
def test_files_are_found_wherever_they_are_and_links_are_none(output: dict[str, Any], urls: list[str]) -> None:
    checked = _checked(output, arguments={"image_url": "https://example.com/mine.png"})

    assert sorted(file["url"] for file in checked["files"]) == sorted(urls)
    back = with_file_urls(checked[VALUES]["answer"], dict(enumerate(file["url"] for file in checked["files"])))
    assert back == (output if output.get("b64_json") is None else {"b64_json": URI})


@pytest.mark.timeout(60)
@pytest.mark.parametrize("head", ["", PNG[:100]])
def test_an_echo_that_is_nearly_base64_takes_time_by_its_length_alone(head: str) -> None:
    checked = _checked({"prompt": f"{head}{'A' * 100}{chr(10) * 1_000_000}!"})

    assert [file["file_name"] for file in checked["files"]] == ["answer.json"]  # as large as it is


def test_base64_with_line_ends_is_a_file() -> None:
    text = "\r\n".join(PNG[at : at + 76] for at in range(0, len(PNG), 76)) + "\n"

    assert [file["url"] for file in _checked({"b64_json": text})["files"]] == [URI]


def test_a_large_answer_becomes_a_file() -> None:
    output = {"vectors": list(range(MOST_ANSWER_BYTES // 4))}

    checked = _checked(output)

    assert checked[VALUES] == {"answer": None, "answer_url": "kilnhand:file:0"}
    (file,) = checked["files"]
    assert file["file_name"] == "answer.json"
    assert json.loads(base64.b64decode(file["url"].partition(",")[2])) == output


def test_a_url_that_is_not_stored_stays_in_the_answer() -> None:
    urls = [f"https://a.fal.media/{n}.png" for n in range(70)]
    output = {"frames": urls, "signed": {"url": f"https://a.fal.media/x.png?{'s' * 5000}", "file_name": "x.png"}}

    checked = _checked(output)

    kept = needed_answer(checked, (FILES,), checked=True)
    back = with_file_urls(kept[VALUES]["answer"], urls_of_provider(kept["files"]))
    assert (len(kept["files"]), back) == (63, output)


@pytest.mark.parametrize(("files", "has_flags"), [(1, True), (2, False)])
def test_flags_count_if_they_are_those_of_the_files(files: int, has_flags: bool) -> None:
    images = [{"url": f"https://a.fal.media/{n}.png"} for n in range(files)]

    assert ("has_nsfw_concepts" in _checked({"images": images, "has_nsfw_concepts": [True]})) is has_flags


def test_a_place_without_a_file_of_ours_keeps_no_mark() -> None:
    marked = {"a": "kilnhand:file:0", "b": ["kilnhand:file:1", "kilnhand:file:x"]}

    assert with_file_urls(marked, {0: "u"}) == {"a": "u", "b": [None, "kilnhand:file:x"]}


def test_files_are_named_by_what_they_are_for_chains() -> None:
    picture, film = {"url": "p"}, {"url": "v"}

    found = by_kind([("image", picture), ("file", {"url": "x"}), ("video", film), ("image", picture)])

    assert found == {"images": [picture, picture], "video": film, "audio": None, "weights": None}


LORA = {"url": "https://example.com/a.safetensors", "role": "subject"}
PICTURE = "https://example.com/a"


def test_the_inputs_of_a_known_workflow_are_written_by_its_route() -> None:
    given = {"prompt": "a", "image": PICTURE, "references": [f"{PICTURE}2"], "loras": [LORA], "seed": None}

    step = workflow._read({"model": "editing-workflow", "inputs": given})[2]

    route = load_catalogue().find("editing-workflow").first_route
    assert arguments_for(route, step.arguments, {}) == {
        "prompt": "a",
        "image_url": PICTURE,
        "reference_image_urls": [f"{PICTURE}2"],
        "loras": [{"path": LORA["url"], "scale": 0.8}],
    }
    assert step.files == {"image": "image", "references.0": "image", "loras.0.path": "weights"}


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        ({"model": "workflows/me/x", "inputs": {"a": 1}, "image": PICTURE}, {"image_url": PICTURE, "a": 1}),
        ({"model": "workflows/me/x", "inputs": {"image_url": "y"}, "image": PICTURE}, {"image_url": "y"}),
        (
            {"model": "flux-krea-lora-i2i", "inputs": {"prompt": "a"}, "image": PICTURE},
            {"prompt": "a", "image": PICTURE},
        ),
    ],
)
def test_a_picture_from_a_chain_is_the_workflows_picture(given: dict[str, Any], arguments: dict[str, Any]) -> None:
    assert workflow._read(given)[2].arguments == arguments


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "workflows/Shootify/editing-workflow", "inputs": {"prompt": "a"}}, "inputs.image: field required"),
        (
            {"model": "editing-workflow", "inputs": {"prompt": "a", "image": PICTURE, "x": 1}},
            "inputs.x: is not a param",
        ),
        (
            {"model": "editing-workflow", "inputs": {"prompt": "a", "image": PICTURE, "strength": 2}},
            "inputs.strength: is 2.0; allowed: 0.01 to 1 (editing-workflow)",
        ),
        (
            {"model": "editing-workflow", "inputs": {"prompt": "a", "image": PICTURE, "loras": [LORA, LORA]}},
            "inputs.loras: each role",
        ),
        ({"model": "editing-workflow", "inputs": {"prompt": "a", "image": "a.png"}}, "inputs.image: must be"),
        ({"model": "workflows/me"}, "workflows/me is no workflow; allowed: workflows/owner/name, flux-krea-lora-i2i"),
        ({"model": "flux-dev"}, "flux-dev is no workflow"),
        ({"model": "editing-workflo"}, "did you mean editing-workflow?"),
        ({"model": "workflows/me/x", "max_usd": 1}, "max_usd: "),
    ],
)
def test_what_no_workflow_takes_is_refused_by_its_field(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        workflow._read(given)

    assert message in str(refused.value)


@pytest.mark.parametrize("name", ["a.b", "a..b", "model", "extra", "tenant"])
def test_a_file_reaches_the_endpoint_as_a_url_whatever_its_argument_is_called(name: str) -> None:
    key = "jobs/b/images-0.png"
    step = _read(model="acme/odd", arguments={name: key, "c": {"b": "words"}})
    route = load_catalogue().find("acme/odd").first_route
    assert [file.ref for file in call_files(route, step).pictures] == [key]
