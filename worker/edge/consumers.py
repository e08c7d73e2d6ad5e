"""Celery's commands `add_consumer` and `cancel_consumer`, extended to jobs. Flower has a button for each.

A worker that takes the jobs of a queue must also advance their rows and take their closing messages. After
`cancel_consumer` it takes no new jobs from the queue, and goes on with the rows: another worker may not do it.
"""

from typing import Any

from celery.worker import control

from worker.edge.message import side_queues

_celery_add = control.add_consumer


def add_consumer(state: Any, queue: str, *args: Any, **options: Any) -> Any:
    """Consume a queue, and advance its jobs."""
    answer = _celery_add(state, queue, *args, **options)
    if service := getattr(state.app, "job_service", None):
        for side in side_queues(queue):
            state.app.side_queues[side] = queue
            _celery_add(state, side, routing_key=side)
        service.add_queue(queue)
    return answer


def register_add_consumer() -> None:
    """Replace Celery's command with ours."""
    args = [("queue", str), ("exchange", str), ("exchange_type", str), ("routing_key", str)]
    signature = "<queue> [exchange [type [routing_key]]]"
    control.Panel.register(name="add_consumer", type="control", args=args, signature=signature)(add_consumer)
