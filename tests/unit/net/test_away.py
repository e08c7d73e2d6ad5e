"""Only a lost connection, or a failover, means that Redis is away."""

import pytest
from redis import exceptions

from worker.net.away import GrowingPause, is_away, is_permanent

AWAY = [
    exceptions.ConnectionError, exceptions.TimeoutError, exceptions.BusyLoadingError, exceptions.ReadOnlyError,
    exceptions.MasterDownError, exceptions.TryAgainError, exceptions.MaxConnectionsError, ConnectionResetError,
    TimeoutError, OSError,
]  # fmt: skip
PERMANENT = [
    exceptions.DataError, exceptions.ResponseError, exceptions.NoPermissionError, exceptions.InvalidResponse,
    exceptions.NoScriptError, exceptions.WatchError,
]  # fmt: skip
OTHER = [exceptions.OutOfMemoryError, ValueError, RuntimeError]


@pytest.mark.parametrize("kind", [*AWAY, *PERMANENT, *OTHER], ids=lambda kind: kind.__name__)
def test_each_error_has_one_meaning(kind: type[Exception]) -> None:
    assert (is_away(kind("x")), is_permanent(kind("x"))) == (kind in AWAY, kind in PERMANENT)


def test_pauses_grow_until_something_works() -> None:
    pause = GrowingPause(0.1, 5.0)
    assert [round(pause.next_s(), 1) for _ in range(8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    for _ in range(2000):
        assert pause.next_s() == 5.0
    pause.reset()
    assert pause.next_s() == 0.1
