"""The callers of a world: `delay()`, chains, chords, bare messages, cancels and revokes, each in a process of its own."""

from typing import Any

from celery import chain, chord
from kombu.exceptions import OperationalError

from tests.simulation import seams
from tests.simulation.ledger import ProducerClient
from tests.simulation.plan import Order
from tests.simulation.virtual_loop import Process
from worker.edge.app import app

MODEL = "flux-schnell"


def send(world: Any, order: Order) -> None:
    """Make the call. Its jobs are promised when it returns. Blocking."""
    task = seams.VIDEO if _is_video(order) else seams.PICTURE
    names = [task.si(**_request(order, job)).set(task_id=job) for job in order.jobs]
    try:
        if order.kind == "chain":
            chain(*names, app=app).apply_async()
        elif order.kind == "chord":
            chord(names[:-1], names[-1], app=app).apply_async()
        elif order.kind == "bare":
            app.send_task(task.name, kwargs=_request(order, order.name), task_id=order.name, queue=task.job_queue)
        else:
            task.apply_async(kwargs=_request(order, order.name), task_id=order.name)
    except OperationalError:  # the caller knows that it failed
        world.refused.update(order.jobs)
    except Exception as error:  # noqa: BLE001  # a call must not fail in another way
        world.promises.broken("no_job_lost", "call", order.name, f"the call raised {error!r}")
    else:
        world.promised.update(order.jobs if order.kind != "bare" else ())  # until it is accepted, Celery may lose it
    world.open_calls.discard(order.name)


def stop(world: Any, order: Order) -> None:
    """Cancel, or revoke, the last job of a call. Blocking."""
    job = order.jobs[-1]
    if order.stop == "revoke":
        world.broadcast_revoke(job)
        return
    process = world.callers[order.name]
    process.producer.signal(job, "cancel")


def start(world: Any, order: Order) -> None:
    """Schedule a call, and its end."""
    process = world.callers[order.name] = Process(world.loop, f"caller {order.name}")
    process.producer = ProducerClient(world.ledger, process)
    process.on_crash = lambda: world.open_calls.discard(order.name)
    world.loop.outside_later(order.at_s, lambda: process.call(send, world, order))
    if order.stop:
        world.loop.outside_later(order.at_s + order.stop_s + 0.5, lambda: process.call(stop, world, order))


def _request(order: Order, job: str) -> dict[str, Any]:
    request: dict[str, Any] = {"prompt": job, "provider": order.provider, "fallback": False}
    request |= {"model": "seedance-2.0", "image": "https://example.com/1.png"} if _is_video(order) else {"model": MODEL}
    options = {"deadline_s": order.deadline_s, "duplicates": order.duplicates}
    return request | {name: value for name, value in options.items() if value is not None}


def _is_video(order: Order) -> bool:
    return order.is_video and order.provider == "fal"
