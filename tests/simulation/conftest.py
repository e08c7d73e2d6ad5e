import pytest
import structlog

from tests.simulation import runner


@pytest.fixture(scope="module", autouse=True)
def seams():
    """The seams, and afterwards everything as it was: other tests share the process and Celery's app."""
    before = structlog.get_config()
    yield runner.seams_of()
    runner.remove_seams()
    structlog.configure(**before)
