"""A model that is not in the catalogue counts for itself alone: anybody may run an app at fal that fails as it likes."""

from dataclasses import replace

import pytest

from tests.contract.health.conftest import BAD, LOCKED, POLICY, Bench
from worker.health.base import Permit, Policy, Wait
from worker.health.verdict import GOOD, Verdict

ALONE = replace(POLICY, listed=frozenset({("fal", "m"), ("fal", "n")}))


@pytest.fixture
def alone(bench: Bench) -> Bench:
    """The bench with a catalogue."""
    return replace(bench, health=bench.open(ALONE))


async def test_failing_apps_of_a_tenant_open_no_provider(alone: Bench) -> None:
    for app in ("evil/one", "evil/two", "evil/three"):
        changes = await alone.submit(BAD, POLICY.failures, app)
        assert [(change.kind, change.model) for change in changes] == [("opened", app)]
        assert isinstance(await alone.health.acquire("fal", app, 1), Wait)
    assert isinstance(await alone.health.acquire("fal", "m", 1), Permit)
    assert not [state for state in await alone.health.states() if state.model is None and state.stand != "closed"]


@pytest.mark.parametrize(
    "verdict", [LOCKED, Verdict("forbidden"), Verdict("limited"), Verdict("limited", 3), Verdict("bad", 3)]
)
async def test_whatever_it_answers_stops_only_itself(alone: Bench, verdict: Verdict) -> None:
    await alone.submit(verdict, model="evil/one")
    assert isinstance(await alone.health.acquire("fal", "evil/one", 1), Wait)
    for other in ("m", "evil/two"):
        assert isinstance(await alone.health.acquire("fal", other, 1), Permit)


async def test_its_good_answers_hide_no_failures_of_others(alone: Bench) -> None:
    await alone.submit(GOOD, 20, "good/app")
    await alone.submit(BAD, 3, "m")
    changes = await alone.submit(BAD, 2, "n")
    assert {(change.kind, change.model) for change in changes} == {("opened", None)}


async def test_it_waits_for_an_open_provider_and_does_not_probe_it(alone: Bench) -> None:
    await alone.submit(LOCKED, model="m")
    assert isinstance(await alone.health.acquire("fal", "some/app", 1), Wait)
    await alone.passes(POLICY.lock_s + 0.02)
    permit = await alone.permit("some/app")
    assert not permit.probe
    assert await alone.health.record("fal", "some/app", BAD, permit) == ()
    probe = await alone.permit("m")
    assert probe.probe, "the probe is still there for a model of the catalogue"
    assert isinstance(await alone.health.acquire("fal", "some/app", 1), Permit), "it does not wait for the probe"


async def test_without_a_catalogue_every_model_counts(bench: Bench) -> None:
    assert Policy().listed is None
    await bench.submit(BAD, 3, "x/one")
    assert any(change.model is None for change in await bench.submit(BAD, 2, "x/two"))


async def test_any_number_of_names_is_bounded(alone: Bench, request: pytest.FixtureRequest) -> None:
    if "redis" not in request.node.name:
        return
    for n in range(130):
        await alone.submit(GOOD, model=f"app/{n}")
    await alone.submit(GOOD, model="m")
    models = [state.model for state in await alone.health.states()]
    assert len(models) == 102
    assert {None, "m", "app/129"} <= set(models)
