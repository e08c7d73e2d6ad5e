"""A worker that is asked to stop in the middle of an upload lets it finish, for as long as it may."""

import time
from pathlib import Path

import pytest

from tasks.generation import text_to_image
from tests.acceptance.conftest import Twin, point_producer_at
from tests.acceptance.test_crash import stages
from tests.conftest import wait_until
from tests.contract.store.s3_wire import S3Wire
from worker.cli.processes.stack import run_stack
from worker.jobs.job import Stage


def test_an_upload_to_the_store_is_finished_by_the_worker_that_stops(
    tmp_path: Path, _patch: pytest.MonkeyPatch
) -> None:
    with S3Wire() as bucket:
        bucket.pause_s = 4.0
        store = {
            "KILNHAND_STORE_URL": "s3://bucket",
            "KILNHAND_STOP_S": "110",  # what it would wait for, if not for the end of the upload
            "AWS_ENDPOINT_URL": bucket.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }
        with run_stack(tmp_path, processes=("redis", "twin", "worker"), env=store) as stack:
            point_producer_at(stack, _patch)
            Twin(stack.twin_url).pace(seconds=0.1)
            text_to_image.delay(prompt="a slow bucket", image_size="square")
            wait_until(lambda: len(bucket.puts) == 1, "the upload has begun")
            began = time.monotonic()
            stack["worker"].stop(grace_s=120)
            assert 2 < time.monotonic() - began < 90, "it waited for the upload, and for nothing else"
            assert stack["worker"].returncode == 0
            assert stages(stack) == [Stage.CLOSING]
            assert len(bucket.puts) == len(bucket.objects) == 1, "nobody has to upload it again"
