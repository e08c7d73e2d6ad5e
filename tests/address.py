"""A TCP proxy in this process, in front of a Redis."""

import asyncio
import contextlib
import ssl
import threading


class Address:
    """A port that leads to one server, and from some moment on to another: what a name in DNS, or a proxy, does.

    With `tls` it takes TLS only: the server of our package is built without it.
    """

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.target, self._tls, self._open = port, tls, set[asyncio.StreamWriter]()
        self._loop = asyncio.new_event_loop()

    def __enter__(self) -> "Address":
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        opening = asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self._server = asyncio.run_coroutine_threadsafe(opening, self._loop).result(5)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def variables(self) -> dict[str, str]:
        return {f"KILNHAND_{name}": self.url for name in ("REDIS_URL", "BROKER_URL", "RESULT_BACKEND", "LEDGER_URL")}

    def leads_to(self, port: int) -> None:
        """Whoever was connected has to connect again."""
        self.target = port
        asyncio.run_coroutine_threadsafe(self._drop(), self._loop).result(5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        self._open |= {writer, there[1]}
        await asyncio.gather(self._pump(reader, there[1]), self._pump(there[0], writer))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.close()
        self._open.discard(sink)

    async def _drop(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _end(self) -> None:
        self._server.close()
        await self._drop()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        await asyncio.wait(rest, timeout=2) if rest else None
