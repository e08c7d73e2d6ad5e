"""A job with the broker behind a socket, results and ledger behind TLS, all with a user of an ACL."""

from pathlib import Path

import pytest

from tasks.generation import text_to_image
from tests.acceptance.conftest import point_producer_at
from tests.address import Address
from tests.certificates import write_certificates
from tests.conftest import RedisServer
from worker.cli.processes.stack import run_stack

USER = ["--user", "kiln", "on", ">p@ss/w", "~*", "&*", "+@all", "--user", "default", "off"]


def test_a_job_runs_over_a_socket_and_tls(tmp_path: Path, _patch: pytest.MonkeyPatch) -> None:
    tls, socket, login = write_certificates(tmp_path), tmp_path / "redis.sock", "kiln:p%40ss%2Fw@"
    server = RedisServer(tmp_path, ["--unixsocket", str(socket), *USER])
    server.start()
    (tmp_path / "stack").mkdir()
    with Address(server.port, tls) as address:
        secure = f" REDISS://{login}localhost:{address.port}/1?ssl_ca_certs={tmp_path}/ca.pem\n"
        urls = dict.fromkeys(("KILNHAND_REDIS_URL", "KILNHAND_RESULT_BACKEND", "KILNHAND_LEDGER_URL"), secure)
        urls["KILNHAND_BROKER_URL"] = f"unix://{login}{socket}?db=2"
        with run_stack(tmp_path / "stack", processes=("twin", "worker", "gateway"), env=urls) as stack:
            point_producer_at(stack, _patch)
            result = text_to_image.delay(prompt="a red fox", image_size="square")
            assert result.get(timeout=120)["request_id"]
            logs = stack["worker"].log_text() + stack["gateway"].log_text()
    server.stop()
    assert "p@ss" not in logs and "p%40ss" not in logs
