"""When to look at a running job again, from its model's usual duration. Pure; the poll is the net under a webhook.

A short job is first looked at just before it usually ends, then in growing steps, so that what a look adds to its
latency stays a fraction of the job itself. A long one is looked at often enough for its progress and logs to be live.
"""

LIVE_FROM_S = 15.0  # jobs that usually take longer are followed
FIRST_MIN_S, STEP_MIN_S, STEP_MAX_S = 0.3, 0.4, 15.0
LATE_S = 0.05  # a process that comes so late to a look is busy
BEHIND_S = 0.5  # so late after a webhook, which is seen within a quarter of a second where there is time
SWEEP_MIN_S = 2.0  # beyond its usual end, for a webhook to come
UNKNOWN_MIN_S, UNKNOWN_MAX_S = 60.0, 3600.0


def first_poll_s(usual_s: float, webhooks: bool = False) -> float:
    """Seconds from the ticket to the first look. With webhooks a short job is only looked at when its own is late."""
    if usual_s > LIVE_FROM_S:
        return _live_step(usual_s)
    return 1.5 * usual_s + SWEEP_MIN_S if webhooks else max(FIRST_MIN_S, 0.8 * usual_s)


def next_poll_s(
    usual_s: float, elapsed_s: float, running: bool, chance: float, webhooks: bool = False, late_s: float = 0.0
) -> float:
    """Seconds from one look to the next. `chance` in [0, 1) spreads jobs that were submitted together.

    A job still queued at the provider cannot end before it has run, so it is not looked at sooner than half of that.
    When this look came `late_s` too late, the process has more to do than it can: it looks less often.
    """
    live = usual_s > LIVE_FROM_S and elapsed_s < 2 * usual_s
    share = 1 / 2 if webhooks or late_s > LATE_S else 1 / 3
    step = _live_step(usual_s) if live else max(STEP_MIN_S, elapsed_s * share)
    if not running:
        step = max(step, min(usual_s / 2, 5.0))
    return min(step, STEP_MAX_S) * (0.85 + 0.3 * chance)


def _live_step(usual_s: float) -> float:
    return min(max(usual_s / 40, 2.0), STEP_MAX_S)


def estimated_progress(usual_s: float, elapsed_s: float) -> float:
    """A share of the work from time alone, 0 to 0.95: honest only as an estimate, and marked as one."""
    return round(min(0.95, elapsed_s / max(usual_s * 1.2, 0.1)), 3)


def unknown_wait_s(usual_s: float) -> float:
    """Seconds for which a submission whose answer was lost is looked for: its run has to end to be listed."""
    return min(UNKNOWN_MIN_S + 4 * usual_s, UNKNOWN_MAX_S)


def search_again_s(waited_s: float) -> float:
    """Seconds from one search for such a submission to the next."""
    return min(max(2.0, waited_s / 4), 30.0)
