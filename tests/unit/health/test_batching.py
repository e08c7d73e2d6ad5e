"""What is spared while all is well, and what is not."""

from worker.health.base import Change, Permit, Policy, Wait
from worker.health.batching import BatchingHealth
from worker.health.memory import MemoryHealth
from worker.health.verdict import GOOD, IGNORED, Verdict

BAD = Verdict("bad")


class Counted(MemoryHealth):
    """Counts what reaches it."""

    asks = 0
    tells = 0

    async def ask(self, provider: str, model: str, lease_s: float) -> Permit | Wait:
        self.asks += 1
        return await super().ask(provider, model, lease_s)

    async def record(self, provider: str, model: str, verdict: Verdict, go: Permit | None) -> tuple[Change, ...]:
        self.tells += 1
        return await super().record(provider, model, verdict, go)


def made(policy: Policy | None = None) -> tuple[BatchingHealth, Counted, list[float]]:
    clock = [1000.0]
    policy = policy or Policy()
    inner = Counted(lambda: clock[0], policy)
    return BatchingHealth(inner, policy, lambda: clock[0]), inner, clock


async def go(calm: BatchingHealth) -> Permit:
    answer = await calm.ask("fal", "m", 10)
    assert isinstance(answer, Permit)
    return answer


async def answers(inner: Counted) -> tuple[int, int]:
    (state,) = [state for state in await inner.states() if state.model == "m"]
    return state.failures, state.answers


async def test_a_hundred_good_answers_in_a_second_cost_two_round_trips_and_all_of_them_count() -> None:
    calm, inner, clock = made()
    for _ in range(100):
        await calm.record("fal", "m", GOOD, await go(calm))
    assert (inner.asks, inner.tells) == (1, 1)
    clock[0] += 1.1
    await calm.record("fal", "m", GOOD, await go(calm))
    assert (inner.asks, inner.tells) == (2, 2)
    assert await answers(inner) == (0, 101)


async def test_a_failure_is_told_at_once_after_the_good_answers_before_it() -> None:
    calm, inner, _ = made()
    gone = [await go(calm) for _ in range(10)]
    for each in gone[1:]:
        await calm.record("fal", "m", GOOD, each)
    await calm.record("fal", "m", BAD, gone[0])
    assert await answers(inner) == (1, 10)
    before = inner.asks
    await go(calm)
    assert inner.asks == before + 1, "what has failed is asked for anew"


async def test_few_failures_among_many_good_answers_open_nothing() -> None:
    calm, inner, _ = made()
    for n in range(60):
        verdict = BAD if n % 10 == 9 else GOOD
        changes = await calm.record("fal", "m", verdict, await go(calm))
        assert changes == ()
    assert await answers(inner) == (6, 60)


async def test_an_open_circuit_lets_nobody_go_and_one_probe_alone() -> None:
    calm, _, clock = made()
    for each in [await go(calm) for _ in range(5)]:
        changes = await calm.record("fal", "m", BAD, each)
    assert [change.kind for change in changes] == ["opened"]
    assert isinstance(await calm.ask("fal", "m", 10), Wait)
    clock[0] += 5.1
    probe = await go(calm)
    assert probe.probe
    assert isinstance(await calm.ask("fal", "m", 10), Wait)
    assert [change.kind for change in await calm.record("fal", "m", GOOD, probe)] == ["closed"]


async def test_what_is_limited_is_always_asked_for() -> None:
    calm, inner, _ = made(Policy(concurrency={"fal": 2}))
    await go(calm)
    await go(calm)
    assert isinstance(await calm.ask("fal", "m", 10), Wait)
    assert inner.asks == 3


async def test_a_submission_that_never_was_gives_its_flight_back_and_says_nothing() -> None:
    calm, inner, _ = made()
    await calm.record("fal", "m", IGNORED, await go(calm))
    assert [state.in_flight for state in await inner.states() if state.model is None] == [0]
    await go(calm)
    assert inner.asks == 1


async def test_models_without_end_are_not_remembered_without_end() -> None:
    calm, _, _ = made()
    for n in range(2500):
        await calm.ask("fal", f"m{n}", 10)
    assert len(calm._well) <= 1000
