"""The plan: which disruptions happen, and when; drawn from a seed, so that a run can be repeated.

`disruptions` carries it out. At least one worker is up at any time. Redis is down or frozen only while no rows of a
killed worker wait for a new claim, because a recovery time would then include the outage. Everything else can overlap.

Answers of a provider without a list are lost only by the death or the freeze of a worker or of Redis: no process can
know what became of a call whose answer the provider never sent.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from twin.script import RUN_FAULTS, Call, FaultKind, allowed_calls

REDIS_CLEAR_S = (12.0, 3.0)  # before and after an outage of Redis in which no worker is killed or frozen
REDIS_FREEZE_S = 12.0  # longer than a lease, and than the timeout of a client
LIST_LAG_S, LIST_LAGS_FOR_S = 70.0, 85.0  # longer than a lost answer of the short model is searched for: 64 s
FREEZE_S = (10.5, 14.0)  # longer than a lease, so that claims are lost
STARTING_S = 6.0  # a killed worker counts as down for this time
SHORT_ENDPOINT = "fal-ai/flux/schnell"  # an unknown submission of a slow model is reconciled for up to an hour
FAL_RUN_FAULTS = frozenset({FaultKind.BLACK, FaultKind.STUCK, FaultKind.ERROR})  # the others belong to other providers
UNUSED_CALLS = frozenset({"upload", "token"})  # calls that no job of this run makes
AMBIGUOUS_STATUSES = (500, 502, 503, 504, 408)


@dataclass(frozen=True)
class Disruption:
    """One disruption, `at_s` seconds after the first job was sent."""

    at_s: float
    what: str  # kill, stop, freeze, restart, change, fault, pace, forge, steal, hostile, break_row
    target: str = ""
    seconds: float = 0.0  # the pause before the next start, or the duration of the freeze
    fault: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line of the plan."""
        summary = " ".join(f"{name}={value}" for name, value in self.fault.items())
        return f"{self.at_s:7.1f} s  {self.what:8}{self.target:10}{f'{self.seconds:.1f} s ' if self.seconds else ''}{summary}"


@dataclass(frozen=True)
class Scale:
    """The size of a plan: its duration, its workers, and the mean time between disruptions of each kind."""

    seconds: float
    workers: int = 3
    kill_s: float = 2.5
    freeze_s: float = 11.0
    restart_s: float = 60.0
    redis_freeze_s: float = 80.0
    list_s: float = 25.0  # lost answers while fal's list fails, is forbidden, or lags
    taken_s: float = 25.0  # errors in fal's own words after it has taken the job
    forge_s: float = 5.0
    steal_s: float = 3.5
    hostile_s: float = 3.0  # messages that nobody can read
    break_row_s: float = 6.0  # rows that nobody can claim
    long_too: bool = False  # also ambiguous submissions of slow models
    faults: tuple[str, ...] = ()  # only these; empty: all
    slow_times: int = 6
    slow_at: tuple[str, ...] = ("submit", "status", "result", "file")  # the calls that are slow when a worker is killed


def draw(random: Random, scale: Scale, changes: list[Disruption] | None = None) -> list[Disruption]:
    """Return the whole plan, in order of time, with changes of the version of processes."""
    changes = changes or []
    restarts = _redis_outages(random, scale)
    kills = _kills(random, scale, restarts, changes)
    slow = [_slow_before(random, scale, disruption) for disruption in kills if disruption.target.startswith("worker")]
    others = [*_faults(random, scale), *_evenly(random, scale, "forge", scale.forge_s)]
    others += _evenly(random, scale, "steal", scale.steal_s)
    others += _evenly(random, scale, "hostile", scale.hostile_s) + _evenly(
        random, scale, "break_row", scale.break_row_s
    )
    others += [*_bad_lists(random, scale), *_errors_after_taking(random, scale)]
    return sorted([*restarts, *kills, *slow, *others, *changes], key=lambda disruption: disruption.at_s)


def _evenly(random: Random, scale: Scale, what: str, every_s: float) -> list[Disruption]:
    count = int(scale.seconds / every_s) if every_s else 0
    return [Disruption(round((n + random.random()) * every_s, 1), what) for n in range(count)]


def _redis_outages(random: Random, scale: Scale) -> list[Disruption]:
    """Return restarts and freezes of Redis, one after the other."""
    whole = [("restart", scale.restart_s), ("freeze", scale.redis_freeze_s)]
    kinds = [what for what, every_s in whole for _ in range(int(scale.seconds / every_s) if every_s else 0)]
    random.shuffle(kinds)
    found = []
    for n, what in enumerate(kinds):
        at = (n + 0.4 + 0.2 * random.random()) * scale.seconds / len(kinds)
        seconds = REDIS_FREEZE_S if what == "freeze" else random.choice([0.0, 0.3, 1.0, 2.0])
        found.append(Disruption(round(at, 1), what, "redis", seconds))
    return found


def is_clear(at_s: float, outages: list[Disruption]) -> bool:
    """Whether no recovery that begins now would include an outage of Redis."""
    before_s, after_s = REDIS_CLEAR_S
    return all(not each.at_s - before_s < at_s < each.at_s + each.seconds + after_s for each in outages)


def _bad_lists(random: Random, scale: Scale) -> list[Disruption]:
    """Return lost answers and lost webhooks at a time when fal's list fails, is forbidden, or lags; each in turn."""
    found: list[Disruption] = []
    for n in range(int(scale.seconds / scale.list_s) if scale.list_s else 0):
        at = round((n + 0.2 + 0.3 * random.random()) * scale.list_s, 1)
        bad = ({"status": 503}, {"status": 403}, None)[n % 3]
        if bad:
            found.append(_fault_at(at, call="list", what="http", provider="fal", times=5, **bad))
        else:
            found.append(Disruption(at, "pace", "twin", LIST_LAGS_FOR_S, {"list_lag_s": LIST_LAG_S}))
        found.append(_fault_at(at, call="webhook", what="lost", times=6, endpoint=SHORT_ENDPOINT))
        found.append(_fault_at(at, call="submit", what="drop", accepted=True, times=2, endpoint=SHORT_ENDPOINT))
    return found


def _errors_after_taking(random: Random, scale: Scale) -> list[Disruption]:
    """Return errors in fal's own words for submissions that it has taken."""
    found = []
    for n in range(int(scale.seconds / scale.taken_s) if scale.taken_s else 0):
        at = round((n + random.random()) * scale.taken_s, 1)
        status = (429, 500, 503)[n % 3]
        said: dict[str, Any] = {"headers": {"X-Fal-Error-Type": "internal_error"}} if status >= 500 else {}
        taken = {"call": "submit", "what": "http", "provider": "fal", "accepted": True, "endpoint": SHORT_ENDPOINT}
        found.append(_fault_at(at, **taken, status=status, times=2, **said))
    return found


def _fault_at(at_s: float, **fault: Any) -> Disruption:
    return Disruption(at_s, "fault", "twin", 0.0, fault)


def _kills(random: Random, scale: Scale, outages: list[Disruption], changes: list[Disruption]) -> list[Disruption]:
    """Return kills, stops and freezes of workers and of the gateway."""
    down_until: dict[str, float] = {}
    found: list[Disruption] = []
    at = 3.0
    while at < scale.seconds:
        up = [name for name in worker_names(scale.workers) if down_until.get(name, 0.0) <= at]
        up = [name for name in up if not any(_is_changing(name, at, change) for change in changes)]
        disruption = _kill(random, scale, round(at, 1), up if is_clear(at, outages) else [])
        if disruption.target == "gateway" and random.random() < 0.5:
            at += scale.kill_s  # most of the time is left to kills of workers
            continue
        if disruption.target.startswith("worker"):
            down_until[disruption.target] = at + disruption.seconds + STARTING_S
        found.append(disruption)
        at += scale.kill_s * (0.5 + random.random())
    return found


def _is_changing(name: str, at_s: float, change: Disruption) -> bool:
    return change.target == name and at_s - STARTING_S < change.at_s < at_s + STARTING_S


def _kill(random: Random, scale: Scale, at_s: float, up: list[str]) -> Disruption:
    if len(up) < 2 or random.random() < 0.2:
        return Disruption(at_s, random.choice(["kill", "kill", "stop"]), "gateway", random.choice([0.0, 0.5, 3.0]))
    worker = random.choice(up)
    if random.random() < scale.kill_s / scale.freeze_s:
        return Disruption(at_s, "freeze", worker, round(random.uniform(*FREEZE_S), 1))
    how = random.choice(["kill", "kill", "kill", "stop"])
    return Disruption(at_s, how, worker, random.choice([0.0, 0.0, 1.0, 4.0]))


def _slow_before(random: Random, scale: Scale, kill: Disruption) -> Disruption:
    """Return slow answers just before a worker is killed, so that it holds rows at that time."""
    fault = {"call": random.choice(scale.slow_at), "what": "slow", "seconds": 4, "times": scale.slow_times}
    return _fault_at(max(0.0, round(kill.at_s - 1.5, 1)), **fault)


def _faults(random: Random, scale: Scale) -> list[Disruption]:
    """Return every fault of the twin at every call, once in every 120 seconds."""
    found: list[Disruption] = []
    rounds = max(1, round(scale.seconds / 120))
    for n in range(rounds):
        deck = [fault for fault in _all_faults(random, scale) if not scale.faults or fault["what"] in scale.faults]
        random.shuffle(deck)
        gap = scale.seconds / rounds / max(1, len(deck))
        found += [
            Disruption(round((n * len(deck) + k + random.random()) * gap, 1), "fault", "twin", 0.0, fault)
            for k, fault in enumerate(deck)
        ]
    return found


def fal_faults() -> list[tuple[FaultKind, Call]]:
    """Return every fault of a job at fal, with its call; faults of a run have the call `run`."""
    found = [(what, call) for what in FaultKind for call in allowed_calls(what) if call.value not in UNUSED_CALLS]
    return [
        (what, call) for what, call in found if what not in RUN_FAULTS or (what in FAL_RUN_FAULTS and call is Call.RUN)
    ]


def _all_faults(random: Random, scale: Scale) -> list[dict[str, Any]]:
    deck = []
    for what, call in fal_faults():
        takes: tuple[bool | None, ...] = (
            (True, False) if call is Call.SUBMIT and what is not FaultKind.SLOW else (None,)
        )
        deck += [_fault(random, scale, what, call, taken) for taken in takes]
    return deck


def _fault(random: Random, scale: Scale, what: FaultKind, call: Call, taken: bool | None) -> dict[str, Any]:
    fault: dict[str, Any] = {"what": what.value, "call": call.value, "times": random.randint(1, 3)}
    if taken is not None:
        fault["accepted"] = taken
        if not scale.long_too:
            fault["endpoint"] = SHORT_ENDPOINT
    if what is FaultKind.DRIP:
        fault["seconds"] = random.choice([0.01, 0.5, 2])
    if what in {FaultKind.HANG, FaultKind.SLOW, FaultKind.DELAY}:
        fault["seconds"] = random.choice([1, 3, 6, 12] if what is not FaultKind.HANG else [4, 8, 35])
    if what is FaultKind.HTTP:
        refused = taken is False and random.random() < 0.5
        fault["status"] = random.choice([429, 400, 422] if refused else AMBIGUOUS_STATUSES)
    if what is FaultKind.STUCK:
        fault |= {"times": 1, "endpoint": STUCK_ENDPOINT}
    return fault


STUCK_ENDPOINT = "fal-ai/flux/dev"  # its jobs have deadlines; without one a run that never ends would last two hours


def worker_names(workers: int) -> list[str]:
    """Return the names of the workers."""
    return [f"worker-{n + 1}" for n in range(workers)]
