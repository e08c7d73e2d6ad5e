"""The types of a request say which arguments of its step are files, whatever they are called."""

from typing import Any

from pydantic import BaseModel

from config.model import Route
from tasks.generation import TextToImage, text_to_image
from worker.jobs.file_arguments import FileArgument, file_arguments, recorded_files
from worker.jobs.file_refs import Archive, Audio, Image, Images, Mask, Video, Weights
from worker.jobs.job import Step
from worker.routing.routes import call_files

ROUTE = Route(provider="fal", endpoint="a/b", takes=("*",))


class Odd(BaseModel):
    person: Image
    where: Mask
    others: Images = []
    motion: Video | None = None
    tune: Audio | None = None
    style: Weights | None = None
    pages: Archive | None = None
    words: str = ""


GIVEN: dict[str, Any] = {
    "person": "jobs/a/p-0.png",
    "where": {"key": "jobs/a/m-0.png", "url": "https://ours/m"},
    "others": ["https://x/1.png", "https://x/2.png"],
    "motion": "https://x/v.mp4",
    "tune": "https://x/t.wav",
    "style": "https://x/s.safetensors",
    "pages": "https://x/a.zip",
    "words": "https://x/1.png",
}


def step_of(given: dict[str, Any]) -> Step:
    request = Odd.model_validate(given)
    arguments = request.model_dump(mode="json", exclude_none=True)
    return Step("m", arguments, (), files=recorded_files(request, arguments))


def test_each_file_is_recorded_with_its_kind_and_words_are_not() -> None:
    assert step_of(GIVEN).files == {
        "person": "image",
        "where": "mask",
        "others.0": "image",
        "others.1": "image",
        "motion": "video",
        "tune": "audio",
        "style": "weights",
        "pages": "archive",
    }


def test_an_argument_of_another_name_holds_a_file_where_it_holds_its_reference() -> None:
    request = TextToImage.model_validate({"prompt": "x", "loras": [{"url": "https://x/a"}], "lora_url": "https://x/b"})
    arguments = {"prompt": "x", "loras": [{"path": "https://x/b", "scale": 1}, {"path": "https://x/a"}]}

    assert recorded_files(request, arguments) == {"loras.0.path": "weights", "loras.1.path": "weights"}


def test_a_task_has_its_files_recorded() -> None:
    loras = [{"url": "jobs/a/w-0.safetensors"}]

    step = text_to_image._read({"prompt": "x", "model": "flux-lora", "loras": loras})[2]

    assert step.files == {"loras.0.path": "weights"}


def test_a_mask_is_brought_like_a_picture_and_large_files_by_the_disk() -> None:
    step = step_of(GIVEN)

    assert [file.path for file in call_files(ROUTE, step).pictures] == ["person", "where", "others.0", "others.1"]
    assert [file.path for file in call_files(ROUTE, step).large] == ["motion", "tune", "style", "pages"]


def test_files_inside_a_call_come_in_the_order_of_the_route() -> None:
    route = ROUTE.model_copy(update={"files": ("others", "person")})

    assert [file.path for file in call_files(route, step_of(GIVEN)).in_call] == ["others.0", "others.1", "person"]
    assert [file.path for file in call_files(route, step_of(GIVEN)).pictures] == ["where"]


def test_a_row_that_does_not_say_its_files_is_read_by_the_names_of_then() -> None:
    arguments = {"prompt": "x", "images": ["u"], "image": "v", "loras": [{"path": "w", "name": "n"}]}

    assert file_arguments(Step("m", arguments, ())) == (
        FileArgument("images.0", "image", "u"),
        FileArgument("image", "image", "v"),
        FileArgument("loras.0.path", "weights", "w"),
    )
    assert file_arguments(Step("m", arguments, (), files={})) == ()
