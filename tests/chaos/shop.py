"""A shop's own Celery in the same Redis database: stock settings, a worker of its own, tasks that note their runs."""

import os
import time

import redis
from celery import Celery

RUNS = "shop:runs"  # a list with the number of each run
app = Celery("shop", broker=os.environ.get("SHOP_REDIS_URL"), backend=os.environ.get("SHOP_REDIS_URL"))
app.conf.update(broker_connection_retry_on_startup=True)


@app.task(name="shop.work")
def work(number: int, seconds: float) -> int:
    """Note the run, and take so long."""
    with redis.Redis.from_url(app.conf.broker_url) as client:
        client.rpush(RUNS, number)
        client.expire(RUNS, 86_400)
    time.sleep(seconds)
    return number


@app.task(name="shop.late", acks_late=True)
def late(number: int, seconds: float) -> int:
    """The same, acknowledged at its end."""
    return int(work(number, seconds))
