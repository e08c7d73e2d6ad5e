import os
import signal

import pytest

from worker.cli.processes.stop import Stop, Stopped


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_seen_at_the_next_pause_and_the_second_one_kills(number: int) -> None:
    killed: list[bool] = []
    stop = Stop(kill=lambda: killed.append(True), watch=lambda: None)
    with stop.listening():
        stop.pause(0)
        os.kill(os.getpid(), number)
        with pytest.raises(Stopped):
            stop.pause(60)
        assert killed == []
        os.kill(os.getpid(), number)
        assert killed == [True]


def test_a_pause_watches_the_children() -> None:
    def watch() -> None:
        raise RuntimeError("one has died")

    with pytest.raises(RuntimeError, match="one has died"):
        Stop(kill=lambda: None, watch=watch).pause(60)
