"""The eight promises, each a pure function over what was seen of a run. An empty list means that it was kept."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from tests.chaos.history import FINAL_STAGES, FINAL_STATES, STATE_OF, History, Violation
from tests.chaos.load import mark_of
from tests.chaos.payments import Payment, payments

SAME_PRICE = {"flux-schnell", "flux-dev", "flux-lora"}  # where the catalogue and the twin agree on the unit's price


def no_job_lost(seen: History) -> list[Violation]:
    """Every accepted job reaches one final state, in the row and for its caller."""
    return [Violation("no_job_lost", job, text) for job, text in _lost(seen)]


def _lost(seen: History) -> Iterator[tuple[str, str]]:
    for wanted in seen.wanted:
        if not wanted.sent or wanted.id is None:
            continue
        state = seen.results.get(wanted.id, {}).get("state", "PENDING")
        row = seen.rows.get(wanted.id)
        if state not in FINAL_STATES:
            yield (
                wanted.id,
                f"{wanted.kind} {wanted.number}: accepted, and its state is {state}; row: {row and row.stage}",
            )
        elif row is None and state == "SUCCESS":
            yield wanted.id, f"{wanted.kind} {wanted.number}: SUCCESS without a row"
    for job, row in seen.rows.items():
        if row.stage not in FINAL_STAGES:
            yield job, f"its row stands at {row.stage}"


def paid_once(seen: History) -> list[Violation]:
    """At most one accepted submission per attempt, and none for nobody; paid again only where it is marked so."""
    return [Violation("paid_once", job, text) for job, text in _paid_twice(seen)]


def _paid_twice(seen: History) -> Iterator[tuple[str | None, str]]:
    found = payments(seen)
    for each in found:
        if each.job is None:
            yield None, f"request {each.request_id} ({each.mark}) was taken and belongs to no job"
    per_attempt: dict[tuple[str, int], list[Payment]] = defaultdict(list)
    per_job: dict[str, list[Payment]] = defaultdict(list)
    for each in found:
        if each.job is not None:
            per_job[each.job].append(each)
            if each.attempt is not None:
                per_attempt[each.job, each.attempt].append(each)
    for (job, number), many in per_attempt.items():
        if len(many) > 1:
            yield job, f"attempt {number} was taken {len(many)} times: {', '.join(each.request_id for each in many)}"
    for job, many in per_job.items():
        yield from _paid_again(job, many, seen.rows[job].doc if job in seen.rows else {})


def _paid_again(job: str, many: list[Payment], doc: dict[str, Any]) -> Iterator[tuple[str, str]]:
    attempts = doc.get("attempts", [])
    if len(many) > len(attempts):
        yield job, f"{len(many)} submissions were taken for {len(attempts)} attempts"
    billed = sum(each.billed for each in many)
    marked = sum(bool(attempt.get("possible_duplicate")) for attempt in attempts)
    if billed > 1 + marked:
        yield job, f"{billed} submissions were billed, {marked} attempts are marked as possible duplicates"


def one_ending(seen: History) -> list[Violation]:
    """A final state never changes, and row and result tell of the same ending."""
    found = [*_changed_states(seen), *_changed_rows(seen)]
    for job, row in seen.rows.items():
        state = seen.results.get(job, {}).get("state")
        if row.stage in FINAL_STAGES and state != STATE_OF[row.stage]:
            found.append((job, f"its row has {row.stage}, its caller {state}"))
    return [Violation("one_ending", job, text) for job, text in found]


def _changed_states(seen: History) -> Iterator[tuple[str, str]]:
    for job, states in seen.states.items():
        for source in sorted({each.source for each in states}):
            final = None
            for each in (state for state in states if state.source == source):
                if final and (each.state, each.digest) != (final.state, final.digest):
                    yield job, f"{final.state} became {each.state} ({source}, {each.at - final.at:.2f} s later)"
                    break
                final = final or (each if each.state in FINAL_STATES else None)


def _changed_rows(seen: History) -> Iterator[tuple[str, str]]:
    for job, sights in seen.sights.items():
        ending = None
        for sight in sights:
            now = sight.doc.get("ending")
            if ending is not None and now != ending:
                yield job, f"its row's ending was {ending}, then {now}"
                break
            ending = now
        last = None
        for sight in sights:
            if last and (sight.stage, sight.fence) != (last.stage, last.fence):
                yield (
                    job,
                    f"its row was final ({last.stage}, fence {last.fence}), then {sight.stage}, fence {sight.fence}",
                )
                break
            last = sight if sight.stage in FINAL_STAGES else None


def ticket_first(seen: History) -> list[Violation]:
    """The ticket is saved before the first look, the artefact before the announcement."""
    return [Violation("ticket_first", job, text) for job, text in _too_early(seen)]


def _too_early(seen: History) -> Iterator[tuple[str | None, str]]:
    tickets = {ticket for row in seen.rows.values() for ticket in tickets_of(row.doc)}
    for request in seen.requests:
        if request.get("polls") and request["request_id"] not in tickets:
            yield None, f"request {request['request_id']} was looked at, and no row has its ticket"
    for job, sights in seen.sights.items():
        for sight in sights:
            attempt = (sight.doc.get("attempts") or [{}])[-1]
            if sight.stage in {"waiting", "fetched", "stored"} and not attempt.get("ticket"):
                yield job, f"at {sight.stage} without a ticket"
                break
    for job, states in seen.states.items():
        missing = sorted({key for state in states for key in state.missing})
        if missing:
            yield job, f"SUCCESS was told before the store held {missing}"


def whole_piece(seen: History) -> list[Violation]:
    """A SUCCESS names as many files as were asked for, and each can be fetched, is what it says it is, and decodes."""
    found: list[tuple[str | None, str]] = [
        (file.job, f"{file.url}: {file.problem}") for file in seen.files if file.problem
    ]
    for wanted in seen.wanted:
        result = _success(seen, wanted.id)
        if result is not None:
            files = result.get(wanted.piece)
            count = len(files) if isinstance(files, list) else int(isinstance(files, dict))
            if count != wanted.count:
                found.append((wanted.id, f"{count} {wanted.piece} instead of {wanted.count}"))
            elif not any(file.job == wanted.id for file in seen.files):
                found.append((wanted.id, "its files were never fetched"))
    found += [(None, f"{path} was fetched, which only a forged webhook names") for path in seen.fetched_forged]
    return [Violation("whole_piece", job, text) for job, text in found]


def no_silent_swap(seen: History) -> list[Violation]:
    """Provider, model and endpoint of a result are what was asked for, and the request behind it is this job's own."""
    requests = {request["request_id"]: request for request in seen.requests}
    found = []
    for wanted in seen.wanted:
        result = _success(seen, wanted.id)
        if result is None or wanted.id is None:
            continue
        request = requests.get(str(result.get("request_id")), {})
        if (result.get("provider"), result.get("model")) != ("fal", wanted.model):
            found.append(
                (wanted.id, f"{wanted.model} was asked for; {result.get('provider')} {result.get('model')} served")
            )
        if result.get("endpoint") != request.get("endpoint"):
            found.append(
                (wanted.id, f"its result names {result.get('endpoint')}, the request {request.get('endpoint')}")
            )
        mark = mark_of(request.get("input") or {})
        if mark != (wanted.number, wanted.part):
            found.append((wanted.id, f"job {wanted.number}.{wanted.part} got what was made for {mark}"))
    return [Violation("no_silent_swap", job, text) for job, text in found]


def money_adds_up(seen: History) -> list[Violation]:
    """What a row says a run has cost is what the provider billed for it; failed and cancelled work is booked too."""
    billed = {request["request_id"]: request.get("billed") or {} for request in seen.requests}
    return [
        Violation("money_adds_up", job, text)
        for job, row in seen.rows.items()
        for attempt in row.doc.get("attempts", [])
        for text in _miscounted(row, attempt, billed.get((attempt.get("ticket") or {}).get("request_id"), {}))
    ]


def _miscounted(row: Any, attempt: dict[str, Any], billed: dict[str, Any]) -> Iterator[str]:
    cost, units = attempt.get("cost"), billed.get("units") or 0.0
    number, model = attempt.get("number"), row.doc.get("step", {}).get("model")
    if cost is None:
        receipt = row.doc.get("receipt") or {"in_time": True}
        is_left = receipt.get("in_time") is None  # a run that was asked to stop, and nobody knows what became of it
        if row.stage in FINAL_STAGES and units and not (is_left or receipt.get("cost")):
            yield f"attempt {number}: {units:g} units were billed and none booked"
        return
    if cost.get("estimated"):
        return  # the row says of itself that it does not know
    if (cost.get("units") or 0.0) != units:
        yield f"attempt {number}: {units:g} units were billed, {cost.get('units')} booked"
    elif model in SAME_PRICE and cost.get("usd") is not None and abs(cost["usd"] - (billed.get("usd") or 0.0)) > 1e-6:
        yield f"attempt {number}: {billed.get('usd')} USD were billed, {cost['usd']} booked"


def no_secret_out(seen: History) -> list[Violation]:
    """No key in a log, a row, a result, a message, or a provider's record."""
    return [Violation("no_secret_out", None, where) for where in seen.leaks]


PROMISES: dict[str, Callable[[History], list[Violation]]] = {
    check.__name__: check
    for check in (
        no_job_lost, paid_once, one_ending, ticket_first, whole_piece, no_silent_swap, money_adds_up, no_secret_out,
    )
}  # fmt: skip


def check(seen: History) -> dict[str, list[Violation]]:
    """Every promise by name, with what broke it."""
    return {name: proof(seen) for name, proof in PROMISES.items()}


def tickets_of(doc: dict[str, Any]) -> list[str]:
    """The request ids on a row."""
    return [attempt["ticket"]["request_id"] for attempt in doc.get("attempts", []) if attempt.get("ticket")]


def _success(seen: History, job: str | None) -> dict[str, Any] | None:
    """The result of a job that succeeded."""
    told = seen.results.get(job or "", {})
    result = told.get("result")
    return result if told.get("state") == "SUCCESS" and isinstance(result, dict) else None
