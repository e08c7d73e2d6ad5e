"""Which calls to Redis the batching saves, and which it does not."""

from worker.health.base import Change, Permit, Policy, Wait
from worker.health.batching import BatchingHealth
from worker.health.memory import MemoryHealth
from worker.health.verdict import GOOD, IGNORED, Verdict

BAD = Verdict("bad")


class Counted(MemoryHealth):
    """Counts the calls that reach it."""

    acquires = 0
    records = 0

    async def acquire(self, provider: str, model: str, lease_s: float) -> Permit | Wait:
        self.acquires += 1
        return await super().acquire(provider, model, lease_s)

    async def record(self, provider: str, model: str, verdict: Verdict, permit: Permit | None) -> tuple[Change, ...]:
        self.records += 1
        return await super().record(provider, model, verdict, permit)


def made(policy: Policy | None = None) -> tuple[BatchingHealth, Counted, list[float]]:
    clock = [1000.0]
    policy = policy or Policy()
    inner = Counted(lambda: clock[0], policy)
    return BatchingHealth(inner, policy, lambda: clock[0]), inner, clock


async def permit(batching: BatchingHealth) -> Permit:
    answer = await batching.acquire("fal", "m", 10)
    assert isinstance(answer, Permit)
    return answer


async def answers(inner: Counted) -> tuple[int, int]:
    (state,) = [state for state in await inner.states() if state.model == "m"]
    return state.failures, state.answers


async def test_a_hundred_good_answers_in_a_second_cost_two_round_trips_and_all_of_them_count() -> None:
    batching, inner, clock = made()
    for _ in range(100):
        await batching.record("fal", "m", GOOD, await permit(batching))
    assert (inner.acquires, inner.records) == (1, 1)
    clock[0] += 1.1
    await batching.record("fal", "m", GOOD, await permit(batching))
    assert (inner.acquires, inner.records) == (2, 2)
    assert await answers(inner) == (0, 101)


async def test_a_failure_is_reported_at_once_after_the_good_answers_before_it() -> None:
    batching, inner, _ = made()
    permits = [await permit(batching) for _ in range(10)]
    for each in permits[1:]:
        await batching.record("fal", "m", GOOD, each)
    await batching.record("fal", "m", BAD, permits[0])
    assert await answers(inner) == (1, 10)
    before = inner.acquires
    await permit(batching)
    assert inner.acquires == before + 1, "after a failure Redis is asked again"


async def test_few_failures_among_many_good_answers_open_no_circuit() -> None:
    batching, inner, _ = made()
    for n in range(60):
        verdict = BAD if n % 10 == 9 else GOOD
        changes = await batching.record("fal", "m", verdict, await permit(batching))
        assert changes == ()
    assert await answers(inner) == (6, 60)


async def test_an_open_circuit_gives_no_permit_and_later_only_one_probe() -> None:
    batching, _, clock = made()
    for each in [await permit(batching) for _ in range(5)]:
        changes = await batching.record("fal", "m", BAD, each)
    assert [change.kind for change in changes] == ["opened"]
    assert isinstance(await batching.acquire("fal", "m", 10), Wait)
    clock[0] += 5.1
    probe = await permit(batching)
    assert probe.probe
    assert isinstance(await batching.acquire("fal", "m", 10), Wait)
    assert [change.kind for change in await batching.record("fal", "m", GOOD, probe)] == ["closed"]


async def test_a_limited_provider_is_never_cached() -> None:
    batching, inner, _ = made(Policy(concurrency={"fal": 2}))
    await permit(batching)
    await permit(batching)
    assert isinstance(await batching.acquire("fal", "m", 10), Wait)
    assert inner.acquires == 3


async def test_an_ignored_verdict_ends_its_flight_and_keeps_the_cache() -> None:
    batching, inner, _ = made()
    await batching.record("fal", "m", IGNORED, await permit(batching))
    assert [state.in_flight for state in await inner.states() if state.model is None] == [0]
    await permit(batching)
    assert inner.acquires == 1


async def test_the_cache_of_models_has_a_limit() -> None:
    batching, _, _ = made()
    for n in range(2500):
        await batching.acquire("fal", f"m{n}", 10)
    assert len(batching._healthy) <= 1000
