from typing import Any

import pytest

from worker.cli.errors import CliError
from worker.cli.job_arguments import find_task, read_fields


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("prompt=a red fox", "a red fox"),
        ("prompt=a=b", "a=b"),
        ("num_images=2", 2),
        ("weight=0.5", 0.5),
        ("enable_safety_checker=false", False),
        ('prompt="42"', "42"),
        ('loras=[{"url": "https://x/y"}]', [{"url": "https://x/y"}]),
        ("image_size={broken", "{broken"),
        ("prompt=", ""),
    ],
)
def test_a_value_that_is_valid_json_is_parsed(pair: str, value: Any) -> None:
    assert list(read_fields([pair]).values()) == [value]


@pytest.mark.parametrize("pair", ["prompt", "=x", " =x"])
def test_an_argument_that_is_no_pair_is_refused_with_an_example(pair: str) -> None:
    with pytest.raises(CliError, match="write for example prompt=") as caught:
        read_fields([pair])
    assert caught.value.status == 2


def test_a_repeated_key_is_refused_with_an_example_of_a_list() -> None:
    with pytest.raises(CliError, match=r"""^images is given twice: .* images='\["@a.jpg", "@b.jpg"\]'$""") as caught:
        read_fields(["images=@a.jpg", " images=@b.jpg"])
    assert caught.value.status == 2


def test_for_a_misspelt_task_the_nearest_name_is_suggested() -> None:
    assert find_task("training.lora").name == "training.lora"
    with pytest.raises(CliError, match=r"did you mean training\.lora\?"):
        find_task("training.loras")
