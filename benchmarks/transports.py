"""Compares HTTP transports for fal-client: speed under concurrency, and the error that each raises for a failed call.

Run: `python -m benchmarks.transports [--jobs 2000] [--at-once 100]`. A job is submit, status and result by the SDK,
against a server in another process; each transport runs in its own process. Candidates that are not installed are left
out (`pip install httpx-aiohttp pyreqwest`). Figures can be compared within one run only.
Decision: docs/decisions/0001.
"""

import argparse
import asyncio
import importlib.util
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import fal_client
import fal_client.client as fal_module
import httpx
import psutil

FAULTS = ("refused", "drop", "drop-reused", "garbage", "cut-short", "silent")
UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_STATUS = {"status": "COMPLETED", "logs": [], "metrics": {"inference_time": 1.0}}
_RESULT = {"images": [{"url": "http://cdn/0.png", "width": 1024, "height": 768}], "seed": 1, "prompt": "p" * 200}


def httpx_own(limit: int) -> httpx.AsyncBaseTransport:
    return httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=limit, max_keepalive_connections=limit))


def httpx_aiohttp(limit: int) -> httpx.AsyncBaseTransport:
    from httpx_aiohttp import AiohttpTransport

    return AiohttpTransport(limits=httpx.Limits(max_connections=limit))


def pyreqwest(limit: int) -> httpx.AsyncBaseTransport:
    from pyreqwest.client import ClientBuilder
    from pyreqwest.compatibility.httpx import HttpxTransport

    return HttpxTransport(ClientBuilder().max_connections(limit).build())


def own(limit: int) -> httpx.AsyncBaseTransport:
    from worker.net.http import open_transport

    return open_transport(limit)


CANDIDATES: dict[str, tuple[str, Callable[[int], httpx.AsyncBaseTransport]]] = {
    "httpx": ("httpx", httpx_own),
    "httpx-aiohttp": ("httpx_aiohttp", httpx_aiohttp),
    "pyreqwest": ("pyreqwest", pyreqwest),
    "worker.net.http": ("aiohttp", own),
}


class Server(asyncio.Protocol):
    """A queue in which every job is done at once; the paths of `FAULTS` fail."""

    posts = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.pending = transport, b""

    def data_received(self, data: bytes) -> None:
        self.pending += data
        head, found, body = self.pending.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if found and len(body) >= length:
            self.pending = b""
            method, path = head.split(b" ", 2)[:2]
            self.answer(method, path.decode().partition("?")[0])

    def answer(self, method: bytes, path: str) -> None:
        Server.posts += method == b"POST" and "/count" not in path
        if path.endswith("/drop"):
            self.transport.close()
        elif path.endswith("/garbage"):
            self.transport.write(b"\x00\x01\r\n\r\n")
        elif path.endswith("/cut-short"):
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")
            self.transport.close()
        elif not path.endswith("/silent"):
            self.reply(self.content(path))

    def content(self, path: str) -> Any:
        if path.endswith("/count"):
            return Server.posts
        if path.endswith("/status"):
            return _STATUS
        at = "http://127.0.0.1:{}/fal-ai/flux/requests/r".format(self.transport.get_extra_info("sockname")[1])
        submitted = {
            "request_id": "r",
            "status_url": f"{at}/status",
            "response_url": at,
            "cancel_url": f"{at}/cancel",
            "queue_position": 0,
        }
        return _RESULT if "/requests/" in path else submitted

    def reply(self, content: Any) -> None:
        body = json.dumps(content).encode()
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        self.transport.write(body)


def serve(port: "Connection[int, None]") -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=1024)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


@dataclass(frozen=True)
class Figures:
    jobs_s: float
    cpu_ms: float
    rss_mb: float
    faults: dict[str, str]


def measure(name: str, base: str, jobs: int, at_once: int, answer: "Connection[Figures, None]") -> None:
    answer.send(asyncio.run(_measure(CANDIDATES[name][1], base, jobs, at_once)))


async def _measure(make: Callable[[int], httpx.AsyncBaseTransport], base: str, jobs: int, at_once: int) -> Figures:
    fal_module.QUEUE_URL_FORMAT = f"{base}/"
    client = fal_client.AsyncClient(key="k:s", default_timeout=30)
    http = await client._client
    http._transport = make(at_once)
    await _run_jobs(client, http, at_once, at_once)  # warm up connections and code
    rss, cpu, started = psutil.Process().memory_info().rss, time.process_time(), time.perf_counter()
    await _run_jobs(client, http, jobs, at_once)
    wall, cpu, grown = (
        time.perf_counter() - started,
        time.process_time() - cpu,
        psutil.Process().memory_info().rss - rss,
    )
    await http.aclose()
    return Figures(
        jobs / wall, cpu / jobs * 1000, grown / 1e6, {fault: await _fault(make, base, fault) for fault in FAULTS}
    )


async def _run_jobs(client: fal_client.AsyncClient, http: httpx.AsyncClient, jobs: int, at_once: int) -> None:
    left = iter(range(jobs))

    async def client_loop() -> None:
        for seed in left:
            handle = await client.submit("fal-ai/flux", {"prompt": "p" * 200, "seed": seed})
            await handle.status(with_logs=True)
            (await http.get(handle.response_url)).json()

    await asyncio.gather(*(client_loop() for _ in range(at_once)))


async def _fault(make: Callable[[int], httpx.AsyncBaseTransport], base: str, fault: str) -> str:
    """Return the error class of one POST and the number of POSTs at the server; WRONG if they contradict each other."""
    url = "http://127.0.0.1:1/" if fault == "refused" else f"{base}/{fault.removesuffix('-reused')}"
    async with httpx.AsyncClient(transport=make(10), timeout=0.5) as client:
        if fault.endswith("-reused"):
            await client.get(f"{base}/count")
        before = await _posts(base)
        try:
            outcome: Any = (await client.post(url, json={})).status_code
        except httpx.HTTPError as error:
            outcome = error
        except Exception as error:  # noqa: BLE001 - not an error of httpx, so the SDK would not handle it
            return f"{type(error).__name__} (not of httpx)"
    sent = await _posts(base) - before
    return f"{type(outcome).__name__}, {sent} sent{' WRONG' if isinstance(outcome, UNSENT) and sent else ''}"


async def _posts(base: str) -> int:
    async with httpx.AsyncClient() as client:
        return int((await client.get(f"{base}/count")).json())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--at-once", type=int, default=100)
    options = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    port, port_in = spawn.Pipe(duplex=False)
    server = spawn.Process(target=serve, args=(port_in,), daemon=True)
    server.start()
    base = f"http://127.0.0.1:{port.recv()}"
    print(f"{options.jobs} jobs (submit, status, result), {options.at_once} at once, {os.cpu_count()} cores")
    for name, (package, _) in CANDIDATES.items():
        if importlib.util.find_spec(package) is None:
            print(f"\n{name}: not installed")
            continue
        figures_out, figures_in = spawn.Pipe(duplex=False)
        one = spawn.Process(target=measure, args=(name, base, options.jobs, options.at_once, figures_in), daemon=True)
        one.start()
        figures_in.close()  # so that `recv` raises EOFError if the child ends
        figures: Figures = figures_out.recv()
        one.join()
        print(f"\n{name}: {figures.jobs_s:.0f} jobs/s, {figures.cpu_ms:.2f} ms CPU a job, RSS +{figures.rss_mb:.1f} MB")
        for fault, outcome in figures.faults.items():
            print(f"  {fault:12} {outcome}")
    server.terminate()
    server.join()


if __name__ == "__main__":
    main()
