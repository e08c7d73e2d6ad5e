from pathlib import Path
from typing import Any

import pytest

from tasks.training import TrainLora
from worker.cli.errors import CliError
from worker.cli.field_values import FieldTypes
from worker.cli.job_arguments import find_task, read_fields


def fields(pairs: list[str]) -> dict[str, Any]:
    return read_fields(find_task("generation.text_to_image").asks, pairs)


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("prompt=a red fox", "a red fox"),
        ("prompt=a=b", "a=b"),
        ("prompt=", ""),
        ("prompt=2024", "2024"),
        ("prompt=1e3", "1e3"),
        ("prompt=true", "true"),
        ("prompt=null", "null"),
        ('prompt={"a": 1}', '{"a": 1}'),
        ("prompt=[a]", "[a]"),
        ('prompt="quoted"', '"quoted"'),
        ("negative_prompt=null", "null"),
        ("lora_url=007", "007"),
        ("num_images=2", 2),
        ("num_images=two", "two"),
        ("seed=9223372036854775807", 9223372036854775807),
        ("seed=null", None),
        ("guidance_scale=3.5", 3.5),
        ("enable_safety_checker=false", False),
        ("enable_safety_checker=True", True),
        ("enable_safety_checker=1", 1),
        ("image_size=square", "square"),
        ('image_size={"width": 320, "height": 192}', {"width": 320, "height": 192}),
        ("image_size={broken", "{broken"),
        ("output_format=null", None),
        ('loras=[{"url": "https://x/y", "weight": 0.5}]', [{"url": "https://x/y", "weight": 0.5}]),
        ('loras={"url": "@a"}', [{"url": "@a"}]),
        ('extra={"a": [1, 2.5, true, null, "7"]}', {"a": [1, 2.5, True, None, "7"]}),
        ("tenant=42", "42"),
        ("idempotency_key=1.10", "1.10"),
        ('labels={"year": 2024, "version": 1.10, "new": true}', {"year": "2024", "version": "1.10", "new": "true"}),
        ("providers=fal", ["fal"]),
        ('providers=["fal", "vertex"]', ["fal", "vertex"]),
        ("max_usd=0.1", 0.1),
        ("fallback=false", False),
        ("unknown=5", 5),
    ],
)
def test_the_type_of_a_field_decides_what_its_text_is(pair: str, value: Any) -> None:
    (read,) = fields([pair]).values()
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("images=@a.jpg", ["@a.jpg"]),
        ('images=["@a.jpg", "@b.jpg"]', ["@a.jpg", "@b.jpg"]),
        ("questions=2024", ["2024"]),
        ("questions=true", ["true"]),
        ('questions=["what?", 7]', ["what?", "7"]),
    ],
)
def test_a_single_item_is_a_list_of_one(pair: str, value: Any) -> None:
    assert list(read_fields(find_task("language.analyse").asks, [pair]).values()) == [value]


def test_an_object_is_read_from_a_file_of_json(tmp_path: Path) -> None:
    file = tmp_path / "workflow.json"
    file.write_text('{"8": {"class_type": "KSampler", "inputs": {"cfg": 7.50, "seed": 18446744073709551615}}}')
    asks = find_task("generation.comfy").asks
    (node,) = read_fields(asks, [f"workflow=@{file}"])["workflow"].values()
    assert node["inputs"] == {"cfg": 7.5, "seed": 18446744073709551615}
    assert read_fields(asks, ['inputs={"prompt": "@x", "steps": 20}'])["inputs"] == {"prompt": "@x", "steps": 20}
    for text, message in (("{", "is no JSON"), (None, "cannot be read")):
        file.write_text(text) if text else file.unlink()
        with pytest.raises(CliError, match=message):
            read_fields(asks, [f"workflow=@{file}"])


@pytest.mark.parametrize("pair", ["prompt", "=x", " =x"])
def test_an_argument_that_is_no_pair_is_refused_with_an_example(pair: str) -> None:
    with pytest.raises(CliError, match="write for example prompt=") as caught:
        fields([pair])
    assert caught.value.status == 2


def test_a_repeated_key_is_refused_with_an_example_of_a_list() -> None:
    with pytest.raises(CliError, match=r"""^images is given twice: .* images='\["@a.jpg", "@b.jpg"\]'$""") as caught:
        fields(["images=@a.jpg", " images=@b.jpg"])
    assert caught.value.status == 2


def test_for_a_misspelt_task_the_nearest_name_is_suggested() -> None:
    assert find_task("training.lora").name == "training.lora"
    with pytest.raises(CliError, match=r"did you mean training\.lora\?"):
        find_task("training.loras")


def test_captions_are_an_object_a_list_or_a_word() -> None:
    read_captions = FieldTypes(TrainLora).value
    assert read_captions("captions", '{"cat1.jpg": "a cat", "1": 5}') == {"cat1.jpg": "a cat", "1": "5"}
    assert read_captions("captions", '["a cat"]') == ["a cat"]
    assert read_captions("captions", "auto") == "auto"
