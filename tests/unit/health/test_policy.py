"""The policy that an operator sets."""

import pytest
from pydantic import ValidationError

from config.settings import HealthSettings
from worker.health.base import Policy
from worker.health.policy import policy_of
from worker.health.verdict import Verdict


def read(**settings: object) -> HealthSettings:
    return HealthSettings(_env_file=None, **settings)  # type: ignore[call-arg,arg-type]


def test_without_settings_the_policy_is_the_default() -> None:
    assert policy_of(read()) == Policy()


def test_limits_are_read_by_provider_and_zero_is_no_limit() -> None:
    policy = policy_of(read(provider_concurrency="fal=20, vertex=0,", provider_rate_per_s="gemini=0.5"))
    assert policy.concurrency == {"fal": 20}
    assert policy.rate_per_s == {"gemini": 0.5}


@pytest.mark.parametrize("text", ["fal", "fal=", "=3", "fal=-1", "fal=many", "fal=1;vertex=2", "fal=2.5", "Fal x=1"])
def test_an_invalid_limit_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="allowed"):
        read(provider_concurrency=text)


def test_the_maximum_opening_is_never_shorter_than_the_first() -> None:
    assert policy_of(read(breaker_open_s=300)).open_max_s == 300


@pytest.mark.parametrize(
    ("retry_after_s", "pause_s"), [(None, 0), (-3, 0), (0, 0), (12.5, 12.5), (4_294_967, 300), (float("inf"), 300)]
)
def test_a_retry_after_is_limited(retry_after_s: float | None, pause_s: float) -> None:
    assert Policy().hint_s(Verdict("limited", retry_after_s)) == pause_s
