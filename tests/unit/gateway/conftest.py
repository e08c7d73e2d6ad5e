"""A door for each test."""

import pytest

from tests.unit.gateway.door import Door


@pytest.fixture
async def door() -> Door:
    return Door()
