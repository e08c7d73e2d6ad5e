"""Enough of S3 on a loopback port for a store's contract: objects, multipart uploads, 403 on order."""

import asyncio
import re
import threading
import time
import uuid

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


class S3Wire:
    """A bucket in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.types: dict[str, str] = {}
        self.refusing = False
        self.pause_s = 0.0  # before an object is taken
        self.puts: list[str] = []  # begun
        self._uploads: dict[str, dict[int, bytes]] = {}
        self._upload_types: dict[str, str] = {}
        self._app = Starlette(
            routes=[Route("/{path:path}", self._answer, methods=["GET", "HEAD", "PUT", "POST", "DELETE"])]
        )

    def __enter__(self) -> "S3Wire":
        self._server = uvicorn.Server(uvicorn.Config(self._app, port=0, log_level="critical", lifespan="off"))
        self._serving = threading.Thread(target=self._server.run)
        self._serving.start()
        while not self._server.started:
            time.sleep(0.005)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._serving.join()

    def forget(self) -> None:
        self.objects.clear()
        self.types.clear()
        self.refusing = False

    async def _answer(self, request: Request) -> Response:
        path, upload = request.url.path, request.query_params.get("uploadId")
        if self.refusing:
            return Response(status_code=403)
        match request.method:
            case "PUT" if upload:
                self._uploads[upload][int(request.query_params["partNumber"])] = await request.body()
                return Response(headers={"etag": '"part"'})
            case "PUT":
                self.puts.append(path)
                await asyncio.sleep(self.pause_s)
                return self._keep(path, await request.body(), request.headers.get("content-type", ""))
            case "POST" if upload:
                parts = self._uploads.pop(upload)
                self._keep(path, b"".join(parts[n] for n in sorted(parts)), self._upload_types.pop(upload))
                return _xml("CompleteMultipartUploadResult", ETag='"whole"')
            case "POST" if "delete" in request.query_params:
                (key,) = re.findall(r"<Key>(.*?)</Key>", (await request.body()).decode())
                self.objects.pop(f"{path.rstrip('/')}/{key}", None)
                return Response(f"<DeleteResult><Deleted><Key>{key}</Key></Deleted></DeleteResult>")
            case "POST":
                upload = uuid.uuid4().hex
                self._uploads[upload], self._upload_types[upload] = {}, request.headers.get("content-type", "")
                return _xml("InitiateMultipartUploadResult", UploadId=upload)
            case "DELETE":
                (self._uploads if upload else self.objects).pop(upload or path, None)
                return Response(status_code=204)
        return self._read(request, path)

    def _keep(self, path: str, content: bytes, content_type: str) -> Response:
        self.objects[path], self.types[path] = content, content_type
        return Response(headers={"etag": '"whole"'})

    def _read(self, request: Request, path: str) -> Response:
        if path not in self.objects:
            return Response(status_code=404)
        content, status = self.objects[path], 200
        headers = {"etag": '"whole"', "last-modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        if span := re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", "")):
            first, last = int(span[1]), min(int(span[2]), len(content) - 1)
            headers["content-range"] = f"bytes {first}-{last}/{len(content)}"
            content, status = content[first : last + 1], 206
        return Response(content, status, headers)


def _xml(name: str, **fields: str) -> Response:
    inside = "".join(f"<{key}>{value}</{key}>" for key, value in {"Bucket": "b", "Key": "k", **fields}.items())
    return Response(f"<{name}>{inside}</{name}>", media_type="application/xml")
