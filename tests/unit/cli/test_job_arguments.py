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
def test_a_value_is_json_where_it_can_be_read_as_json(pair: str, value: Any) -> None:
    assert list(read_fields([pair]).values()) == [value]


@pytest.mark.parametrize("pair", ["prompt", "=x", " =x"])
def test_what_is_no_pair_is_answered_with_an_example(pair: str) -> None:
    with pytest.raises(CliError, match="write for example prompt=") as caught:
        read_fields([pair])
    assert caught.value.status == 2


def test_a_key_that_comes_twice_is_refused_with_how_a_list_is_given() -> None:
    with pytest.raises(CliError, match=r"""^images is given twice: .* images='\["@a.jpg", "@b.jpg"\]'$""") as caught:
        read_fields(["images=@a.jpg", " images=@b.jpg"])
    assert caught.value.status == 2


def test_a_misspelt_task_is_answered_with_the_nearest() -> None:
    assert find_task("training.lora").name == "training.lora"
    with pytest.raises(CliError, match=r"did you mean training\.lora\?"):
        find_task("training.loras")
