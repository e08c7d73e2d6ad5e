"""The eight promises; each is a pure function over the history of a run. An empty list means that it holds."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from config.catalogue import SHARED
from tests.chaos.audit import find_drift
from tests.chaos.bills import find_miscounted, find_miscounted_jobs
from tests.chaos.history import FINAL_STAGES, FINAL_STATES, STATE_OF, History, Violation, result_of_success
from tests.chaos.input_marks import made_for
from tests.chaos.payments import Payment, payments
from tests.chaos.pipelines import STEPS, find_foreign_files, find_repeated_steps
from tests.chaos.repeats import find_late_submissions, find_repeats
from tests.chaos.values import VALUES, count_of, find_wrong_values


def no_job_lost(history: History) -> list[Violation]:
    """Every accepted job reaches one final state, in its row and in its result."""
    return [Violation("no_job_lost", job, text) for job, text in _find_lost(history)]


def _find_lost(history: History) -> Iterator[tuple[str, str]]:
    for expected in history.expected_jobs:
        if not expected.sent or expected.id is None:
            continue
        state = history.results.get(expected.id, {}).get("state", "PENDING")
        row = history.rows.get(expected.id)
        if state not in FINAL_STATES:
            yield (
                expected.id,
                f"{expected.kind} {expected.number}: accepted, and its state is {state}; row: {row and row.stage}",
            )
        elif row is None and state == "SUCCESS":
            yield expected.id, f"{expected.kind} {expected.number}: SUCCESS without a row"
    for job, row in history.rows.items():
        if row.stage not in FINAL_STAGES:
            yield job, f"its row is at {row.stage}"


def paid_once(history: History) -> list[Violation]:
    """At most one accepted submission for each attempt, none without a job; paid again only if marked as such."""
    return [Violation("paid_once", job, text) for job, text in _find_overpaid(history)]


def _find_overpaid(history: History) -> Iterator[tuple[str | None, str]]:
    found = payments(history)
    for each in found:
        if each.job is None:
            yield None, f"request {each.request_id} ({each.mark}) was accepted and belongs to no job"
    per_attempt: dict[tuple[str, int], list[Payment]] = defaultdict(list)
    per_job: dict[str, list[Payment]] = defaultdict(list)
    for each in found:
        if each.job is not None:
            per_job[each.job].append(each)
            if each.attempt is not None:
                per_attempt[each.job, each.attempt].append(each)
    for (job, number), many in per_attempt.items():
        if len(many) > 1:
            yield job, f"attempt {number} was accepted {len(many)} times: {', '.join(each.request_id for each in many)}"
    for job, many in per_job.items():
        attempts = history.rows[job].doc.get("attempts", []) if job in history.rows else []
        if len(many) > len(attempts):
            yield job, f"{len(many)} submissions were accepted for {len(attempts)} attempts"
    yield from find_repeats(history)
    yield from find_repeated_steps(history)


def one_ending(history: History) -> list[Violation]:
    """A final state never changes, row and result have the same ending, and nothing is submitted after it."""
    found = [*_changed_states(history), *_changed_rows(history), *find_late_submissions(history)]
    for job, row in history.rows.items():
        state = history.results.get(job, {}).get("state")
        if row.stage in FINAL_STAGES and state != STATE_OF[row.stage]:
            found.append((job, f"its row has {row.stage}, its result {state}"))
    return [Violation("one_ending", job, text) for job, text in found]


def _changed_states(history: History) -> Iterator[tuple[str, str]]:
    for job, states in history.states.items():
        for source in sorted({each.source for each in states}):
            final = None
            for each in (state for state in states if state.source == source):
                if final and (each.state, each.digest) != (final.state, final.digest):
                    yield job, f"{final.state} became {each.state} ({source}, {each.at - final.at:.2f} s later)"
                    break
                final = final or (each if each.state in FINAL_STATES else None)


def _changed_rows(history: History) -> Iterator[tuple[str, str]]:
    for job, versions in history.row_versions.items():
        ending = None
        for version in versions:
            now = version.doc.get("ending")
            if ending is not None and now != ending:
                yield job, f"its row's ending was {ending}, then {now}"
                break
            ending = now
        last = None
        for version in versions:
            if last and (version.stage, version.fence) != (last.stage, last.fence):
                yield (
                    job,
                    f"its row was final ({last.stage}, fence {last.fence}), then {version.stage}, fence {version.fence}",
                )
                break
            last = version if version.stage in FINAL_STAGES else None


def ticket_first(history: History) -> list[Violation]:
    """The ticket is saved before the first poll, the artefact before the SUCCESS."""
    return [Violation("ticket_first", job, text) for job, text in _find_too_early(history)]


def _find_too_early(history: History) -> Iterator[tuple[str | None, str]]:
    tickets = {ticket for row in history.rows.values() for ticket in tickets_of(row.doc)}
    for request in history.requests:
        if request.get("polls") and request["request_id"] not in tickets:
            yield None, f"request {request['request_id']} was polled, and no row has its ticket"
    for job, versions in history.row_versions.items():
        for version in versions:
            attempt = (version.doc.get("attempts") or [{}])[-1]
            has_ticket = attempt.get("ticket") or (attempt.get("answered") and version.stage != "waiting")
            if version.stage in {"waiting", "fetched", "stored"} and not has_ticket:
                yield job, f"at {version.stage} without a ticket"
                break
    for job, states in history.states.items():
        missing = sorted({key for state in states for key in state.missing})
        if missing:
            yield job, f"SUCCESS was published before the store had {missing}"


def whole_piece(history: History) -> list[Violation]:
    """A SUCCESS names the requested number of files; each can be fetched, matches its description, and decodes."""
    found: list[tuple[str | None, str]] = [
        (file.job, f"{file.url}: {file.problem}") for file in history.files if file.problem
    ]
    for expected in history.expected_jobs:
        result = result_of_success(history, expected.id)
        if result is not None:
            count = count_of(result, expected.piece)
            if count != expected.count:
                found.append((expected.id, f"{count} {expected.piece} instead of {expected.count}"))
            elif expected.piece not in VALUES and not any(file.job == expected.id for file in history.files):
                found.append((expected.id, "its files were not fetched"))
    found += find_wrong_values(history)
    found += [(None, f"{path} was fetched, and only a forged webhook names it") for path in history.fetched_forged]
    return [Violation("whole_piece", job, text) for job, text in found]


def no_silent_swap(history: History) -> list[Violation]:
    """A result has the requested provider, model and endpoint, and was made for this job's request."""
    return [Violation("no_silent_swap", job, text) for job, text in _find_swaps(history)]


def _find_swaps(history: History) -> Iterator[tuple[str, str]]:
    requests = {request["request_id"]: request for request in history.requests}
    made = {each.mark: requests[each.request_id] for each in payments(history)}  # answered inside the call: no ticket
    for expected in history.expected_jobs:
        result = result_of_success(history, expected.id)
        if result is None or expected.id is None:
            continue
        own = (expected.number, expected.part)
        request = requests.get(str(result.get("request_id"))) or (
            {} if expected.provider == "fal" else made.get(own, {})
        )
        served = (result.get("provider"), result.get("model"))
        if served != (expected.provider, expected.model.removeprefix(SHARED)):
            yield expected.id, f"{expected.model} of {expected.provider} was requested; {served[0]} {served[1]} served"
        if expected.model in STEPS or expected.provider == "local":
            continue  # its steps have the submissions, or the worker itself has done it
        if str(result.get("endpoint")).removesuffix("/stream") != request.get("endpoint"):
            yield expected.id, f"its result names {result.get('endpoint')}, the request {request.get('endpoint')}"
        if (mark := made_for(request)) != own:
            yield expected.id, f"job {expected.number}.{expected.part} got the result of {mark}"
    yield from find_foreign_files(history)


def money_adds_up(history: History) -> list[Violation]:
    """The cost on a row is the bill if it is exact, else has it within its bounds; failed, lost and cancelled work too."""
    billed = {request["request_id"]: request.get("billed") or {} for request in history.requests}
    found = [
        Violation("money_adds_up", job, text)
        for job, row in history.rows.items()
        for attempt in row.doc.get("attempts", [])
        if attempt.get("ticket") or not attempt.get("answered")
        for text in find_miscounted(row, attempt, billed.get((attempt.get("ticket") or {}).get("request_id"), {}))
    ]
    others = list(find_drift(history))
    if history.is_one_version:  # an older version books its own prices
        others += find_miscounted_jobs(history)
    return found + [Violation("money_adds_up", job, text) for job, text in others]


def no_secret_out(history: History) -> list[Violation]:
    """No key is in a log, a row, a result, a message, or a provider's record."""
    return [Violation("no_secret_out", None, where) for where in history.leaks]


PROMISES: dict[str, Callable[[History], list[Violation]]] = {
    check.__name__: check
    for check in (
        no_job_lost, paid_once, one_ending, ticket_first, whole_piece, no_silent_swap, money_adds_up, no_secret_out,
    )
}  # fmt: skip


def check(history: History) -> dict[str, list[Violation]]:
    """Return the violations of each promise, by its name."""
    return {name: proof(history) for name, proof in PROMISES.items()}


def tickets_of(doc: dict[str, Any]) -> list[str]:
    """Return the request ids on a row."""
    return [attempt["ticket"]["request_id"] for attempt in doc.get("attempts", []) if attempt.get("ticket")]
