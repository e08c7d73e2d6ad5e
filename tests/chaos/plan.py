"""What goes wrong, and when: drawn from a seed, so that the same seed hurts in the same way again. Nothing is done here.

At least one worker is up at any time, and Redis goes away only while no killed worker's rows wait to be taken over: a
recovery measured then would measure the outage. Everything else may overlap.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from twin.script import OF_A_RUN, Call, What, allowed_calls

REDIS_CLEAR_S = (12.0, 3.0)  # before and after a restart of Redis in which no worker is killed or frozen
FREEZE_S = (10.5, 14.0)  # longer than a lease, so that claims are lost
STARTING_S = 6.0  # a killed worker counts as away for so long
SHORT_ENDPOINT = "fal-ai/flux/schnell"  # an unknown submission of a long model is looked for up to an hour
RUNS = frozenset({What.BLACK, What.STUCK, What.ERROR})  # the others are of other providers
NOT_OF_A_JOB = frozenset({"upload", "token"})  # calls that no job of this run makes
AMBIGUOUS = (500, 502, 503, 504, 408)


@dataclass(frozen=True)
class Strike:
    """One thing that goes wrong, `at_s` seconds after the first job was sent."""

    at_s: float
    what: str  # kill, stop, freeze, restart, fault, forge, steal
    target: str = ""
    seconds: float = 0.0  # of pause before the start, or of the freeze
    fault: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line of the plan."""
        told = " ".join(f"{name}={value}" for name, value in self.fault.items())
        return (
            f"{self.at_s:7.1f} s  {self.what:8}{self.target:10}{f'{self.seconds:.1f} s ' if self.seconds else ''}{told}"
        )


@dataclass(frozen=True)
class Scale:
    """How long strikes fall, on how many workers, and what is favoured: `every_s` between strikes of each kind."""

    seconds: float
    workers: int = 3
    kill_s: float = 4.5
    freeze_s: float = 22.0
    restart_s: float = 60.0
    forge_s: float = 5.0
    steal_s: float = 3.5
    long_too: bool = False  # ambiguous submissions of long models as well
    faults: tuple[str, ...] = ()  # only these, where a run favours some
    slow_times: int = 6
    slow_at: tuple[str, ...] = ("submit", "status", "result", "file")  # what is slow when a worker goes


def draw(random: Random, scale: Scale) -> list[Strike]:
    """The whole plan, in order of time."""
    restarts = _restarts(random, scale)
    kills = _kills(random, scale, [strike.at_s for strike in restarts])
    slow = [_slow_before(random, scale, strike) for strike in kills if strike.target.startswith("worker")]
    others = [*_faults(random, scale), *_spread(random, scale, "forge", scale.forge_s)]
    others += _spread(random, scale, "steal", scale.steal_s)
    return sorted([*restarts, *kills, *slow, *others], key=lambda strike: strike.at_s)


def _spread(random: Random, scale: Scale, what: str, every_s: float) -> list[Strike]:
    count = int(scale.seconds / every_s) if every_s else 0
    return [Strike(round((n + random.random()) * every_s, 1), what) for n in range(count)]


def _restarts(random: Random, scale: Scale) -> list[Strike]:
    count = int(scale.seconds / scale.restart_s) if scale.restart_s else 0
    found = []
    for n in range(count):
        at = (n + 0.35 + 0.4 * random.random()) * scale.restart_s
        found.append(Strike(round(at, 1), "restart", "redis", round(random.choice([0.0, 0.3, 1.0, 2.0]), 1)))
    return found


def _kills(random: Random, scale: Scale, restarts: list[float]) -> list[Strike]:
    """Kills, stops and freezes of workers and of the gateway."""
    away: dict[str, float] = {}
    found: list[Strike] = []
    at = 3.0
    while at < scale.seconds:
        up = [name for name in names(scale.workers) if away.get(name, 0.0) <= at]
        clear = all(not time - REDIS_CLEAR_S[0] < at < time + REDIS_CLEAR_S[1] for time in restarts)
        strike = _kill(random, scale, round(at, 1), up if clear else [])
        if strike.target.startswith("worker"):
            away[strike.target] = at + strike.seconds + STARTING_S
        found.append(strike)
        at += scale.kill_s * (0.5 + random.random())
    return found


def _kill(random: Random, scale: Scale, at_s: float, up: list[str]) -> Strike:
    if len(up) < 2 or random.random() < 0.2:
        return Strike(at_s, random.choice(["kill", "kill", "stop"]), "gateway", random.choice([0.0, 0.5, 3.0]))
    worker = random.choice(up)
    if random.random() < scale.kill_s / scale.freeze_s:
        return Strike(at_s, "freeze", worker, round(random.uniform(*FREEZE_S), 1))
    how = random.choice(["kill", "kill", "kill", "stop"])
    return Strike(at_s, how, worker, random.choice([0.0, 0.0, 1.0, 4.0]))


def _slow_before(random: Random, scale: Scale, kill: Strike) -> Strike:
    """Slow answers just before a worker goes, so that it holds rows when it does."""
    fault = {"call": random.choice(scale.slow_at), "what": "slow", "seconds": 4, "times": scale.slow_times}
    return Strike(max(0.0, round(kill.at_s - 1.5, 1)), "fault", "twin", 0.0, fault)


def _faults(random: Random, scale: Scale) -> list[Strike]:
    """Every fault that the twin knows, at every call: the deck once through, as often as it fits."""
    found: list[Strike] = []
    rounds = max(1, round(scale.seconds / 120))
    for n in range(rounds):
        deck = [fault for fault in _deck(random, scale) if not scale.faults or fault["what"] in scale.faults]
        random.shuffle(deck)
        gap = scale.seconds / rounds / max(1, len(deck))
        found += [
            Strike(round((n * len(deck) + k + random.random()) * gap, 1), "fault", "twin", 0.0, fault)
            for k, fault in enumerate(deck)
        ]
    return found


def fal_faults() -> list[tuple[What, Call]]:
    """Every fault that can happen to a job at fal, and where. What a run comes to is decided when the job is taken."""
    found = [(what, call) for what in What for call in allowed_calls(what) if call.value not in NOT_OF_A_JOB]
    return [(what, call) for what, call in found if what not in OF_A_RUN or (what in RUNS and call is Call.RUN)]


def _deck(random: Random, scale: Scale) -> list[dict[str, Any]]:
    deck = []
    for what, call in fal_faults():
        takes: tuple[bool | None, ...] = (True, False) if call is Call.SUBMIT and what is not What.SLOW else (None,)
        deck += [_fault(random, scale, what, call, taken) for taken in takes]
    return deck


def _fault(random: Random, scale: Scale, what: What, call: Call, taken: bool | None) -> dict[str, Any]:
    fault: dict[str, Any] = {"what": what.value, "call": call.value, "times": random.randint(1, 3)}
    if taken is not None:
        fault["accepted"] = taken
        if not scale.long_too:
            fault["endpoint"] = SHORT_ENDPOINT
    if what in {What.HANG, What.SLOW, What.DELAY}:
        fault["seconds"] = random.choice([1, 3, 6, 12] if what is not What.HANG else [4, 8, 35])
    if what is What.HTTP:
        refused = taken is False and random.random() < 0.5
        fault["status"] = random.choice([429, 400, 422] if refused else AMBIGUOUS)
    if what is What.STUCK:
        fault |= {"times": 1, "endpoint": STUCK_ENDPOINT}
    return fault


STUCK_ENDPOINT = "fal-ai/flux/dev"  # asked for with a deadline only: a run that never ends would else last two hours


def names(workers: int) -> list[str]:
    """The workers' names."""
    return [f"worker-{n + 1}" for n in range(workers)]
