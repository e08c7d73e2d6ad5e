"""The Celery application as a producer needs it. Settings are read at its first use, not at import.

`worker.app` adds the parts of a worker. docs/operations.md has the measurements behind the options.
"""

from typing import Any

from celery import Celery

from config.settings import Settings
from worker.edge.redis_options import broker_options, result_options
from worker.edge.unacked import RENEW_S, VISIBILITY_S, own_unacked_keys

DEFAULT_QUEUE = "celery"  # the queue of a plain `send_task` by name


def celery_config() -> dict[str, Any]:
    """Celery's options, from our settings."""
    settings = Settings()
    return _broker(settings) | _results(settings) | _worker()


def _broker(settings: Settings) -> dict[str, Any]:
    options = broker_options(settings.redis.broker)
    return {
        **options,
        "broker_transport_options": {
            **options["broker_transport_options"],
            "visibility_timeout": VISIBILITY_S,  # of a dead worker's messages: see worker/edge/unacked.py
            **own_unacked_keys(),
            "unacked_restore_interval": RENEW_S,
            "unacked_restore_throttle": 1,
            "queue_order_strategy": "worker.edge.queues:SideQueuesFirst",
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 25,
            "global_keyprefix": settings.redis.prefix,
        },
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "task_publish_retry_policy": {"max_retries": 3, "interval_start": 0, "interval_step": 0.2, "interval_max": 1},
        "task_default_queue": settings.redis.callback_queue,
        "task_serializer": "json",
        "accept_content": ["json"],
    }


def _results(settings: Settings) -> dict[str, Any]:
    lifetime_s = int(settings.worker.result_days * 86400)
    options = result_options(settings.redis.results)
    transport_options = {**options["result_backend_transport_options"], "global_keyprefix": settings.redis.prefix}
    return {
        **options,
        "result_backend_transport_options": transport_options,
        "result_backend_thread_safe": True,  # otherwise one Redis connection per thread
        "result_serializer": "json",
        "result_accept_content": ["json"],
        "result_expires": lifetime_s,
        "result_extended": True,
        "redis_socket_timeout": 30.0,
        "redis_socket_connect_timeout": 5.0,
        "redis_retry_on_timeout": True,
        "redis_backend_health_check_interval": 30,
        "result_backend_always_retry": True,
        "result_backend_max_retries": 20,
    }


def _worker() -> dict[str, Any]:
    return {
        "worker_pool": "threads",
        "worker_consumer": "worker.edge.consumer:SafeConsumer",
        "worker_concurrency": 8,
        "task_acks_late": True,
        "worker_disable_prefetch": True,
        "worker_prefetch_multiplier": 1,
        "worker_send_task_events": True,
        "worker_enable_remote_control": True,
        "worker_hijack_root_logger": False,
    }


class _App(Celery):
    """Reads the settings before the configuration is made, so that wrong settings leave the app unconfigured.

    With Celery's own lazy defaults, a second use after the error would find Celery's built-in broker URL, and send the
    job to another server.
    """

    def prepare_config(self, c: Any) -> Any:
        """Celery's hook that makes the configuration."""
        return super().prepare_config({**(c or {}), **celery_config()})


app = _App("kilnhand", set_as_current=False)
