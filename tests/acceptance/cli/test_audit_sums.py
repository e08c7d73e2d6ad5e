"""`kilnhand audit` of providers that answer at once: not checkable job by job, and with the twin in sum."""

import base64
import gc
import json
from collections.abc import Callable, Iterator, Mapping

import pytest

from tasks import language
from tests.acceptance.cli.conftest import Finished
from tests.acceptance.conftest import Twin, point_producer_at
from tests.conftest import wait_until
from tests.unit.files.files import picture
from worker import client
from worker.cli.processes.stack import Stack, run_stack

RED = f"data:image/png;base64,{base64.b64encode(picture('PNG', colour='red')).decode()}"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Mapping[str, str]]]:
    """A stack whose worker has all vendors, and the environment of a command that has them too."""
    with run_stack(tmp_path_factory.mktemp("sums"), processes=("redis", "twin")) as stack:
        vendors = {f"KILNHAND_{name.upper()}_BASE_URL": f"{stack.twin_url}/{name}" for name in ("google", "anthropic")}
        stack.start_worker("worker", env=vendors)
        yield stack, {**stack.environment, **vendors}
        gc.collect()  # results that are collected later would look for their Redis in vain


def test_calls_that_are_answered_at_once_are_checked_in_sum_with_the_twin(
    home: tuple[Stack, Mapping[str, str]], kilnhand: Callable[..., Finished], _patch: pytest.MonkeyPatch
) -> None:
    stack, environment = home
    point_producer_at(stack, _patch)
    for provider in ("anthropic", "gemini"):
        sent = language.caption.delay(images=[RED], provider=provider)
        sent.get(timeout=120)
        wait_until(lambda job_id=sent.id: client.status(job_id).stage == "completed", "its row has ended")  # type: ignore

    ran = kilnhand("audit", "--lag", "0", "--json", env=environment)
    told = json.loads(ran.out)
    assert ran.status == 0, told
    assert {name: one["attempts"] for name, one in told["not_checkable"].items()} == {"anthropic": 1, "gemini": 1}
    assert [(one["provider"], one["attempts"], one["calls"], one["drift_usd"]) for one in told["sums"]] == [
        ("anthropic", 1, 1, 0.0),
        ("google", 1, 1, 0.0),
    ]
    assert all(one["billed_usd"] > 0 for one in told["sums"])
    shown = kilnhand("audit", "--lag", "0", env=environment).out
    assert "not checkable at gemini: 1 attempts" in shown and "in sum: 1 attempts" in shown

    Twin(stack.twin_url).reset()
    assert kilnhand("audit", "--lag", "0", env=environment).status == 1, "booked, and never billed"
