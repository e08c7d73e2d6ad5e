"""A webhook endpoint for each test."""

import pytest

from tests.unit.gateway.webhook_endpoint import WebhookEndpoint


@pytest.fixture
async def endpoint() -> WebhookEndpoint:
    return WebhookEndpoint()
