"""The state that the parts of fal's imitation share: models, scheduler, files, tokens, webhooks."""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import httpx

from twin.fal.address import NAMESPACES
from twin.fal.billing_events import BillingEvents
from twin.fal.input_files import InputReader
from twin.fal.job import Job, Submission
from twin.fal.model_runner import ModelRunner
from twin.fal.models import load_models
from twin.fal.platform_settings import PlatformSettings
from twin.fal.prices import Bill
from twin.fal.scheduler import MAX_KEPT, Scheduler
from twin.fal.stored_inputs import StoredInputs
from twin.fal.uploads import Uploads
from twin.fal.webhooks import WebhookSender
from twin.file_store import FileStore
from twin.pace import Pace
from twin.script import Call, Script

MAX_TOKENS = 1_000
ANY_ENDPOINT = "any_endpoint of /_twin/platform lets it accept every id"


class FalService:
    """The state of fal's imitation; one for each application."""

    def __init__(
        self,
        pace: Pace,
        script: Script,
        files: FileStore,
        http: httpx.AsyncClient,
        clock: Callable[[], float],
        max_kept: int = MAX_KEPT,
        platform: PlatformSettings | None = None,
    ) -> None:
        self.clock, self.script, self.files = clock, script, files
        self.models = load_models()
        self.uploads = Uploads(files)
        self.stored_inputs = StoredInputs()
        self.platform = self._first_platform = platform or PlatformSettings()
        self.billing_events = BillingEvents()
        self.webhooks = WebhookSender(script, clock)
        runner = ModelRunner(self.models, files, InputReader(files, http), clock)
        self.scheduler = Scheduler(runner, self._on_end, self._on_drop, clock, max_kept=max_kept)
        self._tokens: OrderedDict[str, str] = OrderedDict()
        self.set_pace(pace)

    def set_pace(self, pace: Pace) -> None:
        """Set the pace of runs and webhooks."""
        self.pace = self.webhooks.pace = pace
        self.scheduler.set_pace(pace)

    def category(self, endpoint: str) -> str | None:
        """Return the category of an endpoint; None if it is unknown."""
        model = self.models.find(endpoint)
        return model.category if model else None

    def refusal(self, endpoint: str) -> str | None:
        """Return why fal has no such endpoint; None if it has. Workflows and Comfy apps belong to users: any exists."""
        owner, _, name = endpoint.partition("/")
        if not name or self.models.is_gone(endpoint):
            return f'Application "{endpoint}" not found'
        if self.platform.any_endpoint or owner in NAMESPACES or self.models.find(endpoint):
            return None
        return f'Application "{endpoint}" not found (the twin has {len(self.models.by_id)} endpoints; {ANY_ENDPOINT})'

    def accept(self, submission: Submission) -> Job:
        """Accept a submission; a fault of its run is taken from the script now."""
        fault = self.script.take(Call.RUN, submission.endpoint)
        seconds = self.pace.seconds_for(submission.endpoint, self.category(submission.endpoint))
        return self.scheduler.accept(submission, seconds, fault)

    def new_token(self, account: str) -> str:
        """Return a new token of an account, for the CDN or for realtime."""
        token = secrets.token_urlsafe(24)
        self._tokens[token] = account
        while len(self._tokens) > MAX_TOKENS:
            self._tokens.popitem(last=False)
        return token

    def account_of_token(self, token: str) -> str | None:
        """Return the account of a token; None if it is unknown."""
        return self._tokens.get(token)

    def clear(self) -> None:
        """Drop all jobs, billing events, tokens and uploads, and restore the platform's settings."""
        self.webhooks.clear()
        self.scheduler.clear()
        self.uploads.clear()
        self.platform = self._first_platform
        self.billing_events.clear()
        self._tokens.clear()

    def _on_end(self, job: Job) -> None:
        self.stored_inputs.keep(job)
        self.billing_events.add(job)
        if job.submission.webhook_url and job.outcome and job.outcome.error_type != "client_cancelled":
            self.webhooks.send(job)

    def _on_drop(self, job: Job) -> None:
        self.stored_inputs.drop(job.request_id)
        for path in job.outcome.files if job.outcome else ():
            self.files.drop_generated(path)


def describe_job(job: Job) -> dict[str, Any]:
    """Return a job as `/_twin/requests` shows it."""
    submission, outcome = job.submission, job.outcome
    bill = Bill(outcome.units, outcome.usd) if outcome else Bill(0.0, 0.0)
    return {
        "provider": "fal",
        "endpoint": submission.endpoint,
        "request_id": job.request_id,
        "input": job.short_input,
        "headers": dict(submission.headers),
        "account": submission.account,
        "webhook_url": submission.webhook_url,
        "webhook_statuses": list(job.webhook_statuses),
        "is_direct": submission.is_direct,
        "state": job.stage.value,
        "is_cancelled": outcome is not None and outcome.error_type == "client_cancelled",
        "cancels": job.cancels,
        "http_status": outcome.status if outcome else None,
        "error_type": outcome.error_type if outcome else None,
        "output": outcome.body if outcome else None,
        "billed": {"units": bill.units, "usd": bill.usd},
        "accepted_at": job.accepted_at,
        "started_at": job.started_at,
        "completed_at": job.ended_at,
        "polls": job.polls,
    }
