import os
import signal

import pytest

from worker.cli.processes.stop_signal import StopRequested, StopSignal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_stops_at_the_next_pause_and_the_second_kills(number: int) -> None:
    killed: list[bool] = []
    stop = StopSignal(kill=lambda: killed.append(True), check=lambda: None)
    with stop.listening():
        stop.pause(0)
        os.kill(os.getpid(), number)
        with pytest.raises(StopRequested):
            stop.pause(60)
        assert killed == []
        os.kill(os.getpid(), number)
        assert killed == [True]


def test_a_pause_checks_the_children() -> None:
    def check() -> None:
        raise RuntimeError("one has died")

    with pytest.raises(RuntimeError, match="one has died"):
        StopSignal(kill=lambda: None, check=check).pause(60)
