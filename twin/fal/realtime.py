"""fal's realtime API: a websocket that receives msgpack maps and answers each with one.

As described at https://fal.ai/docs/documentation/model-apis/inference/real-time.
"""

import json
from typing import Any

import msgpack  # type: ignore[import-untyped]
from starlette.websockets import WebSocket, WebSocketDisconnect

from twin.fal.access import Denied, account_of
from twin.fal.address import Address, app_of
from twin.fal.job import Submission
from twin.fal.service import FalService

UNAUTHORIZED = 4401


async def answer_realtime(fal: FalService, socket: WebSocket, address: Address) -> None:
    """Serve one connection until the caller closes it."""
    endpoint = address.path.strip("/").removesuffix("/realtime")
    account = _account(fal, socket, endpoint)
    if account is None or fal.refusal(endpoint):
        await socket.close(UNAUTHORIZED)
        return
    await socket.accept()
    await socket.send_json({"type": "x-fal-message", "action": "connected"})
    try:
        while True:
            await _answer(fal, socket, address, endpoint, account)
    except WebSocketDisconnect:
        return


def _account(fal: FalService, socket: WebSocket, endpoint: str) -> str | None:
    token = socket.query_params.get("fal_jwt_token")
    if token:
        return fal.account_of_token(token)
    try:
        return account_of(socket.headers, endpoint, is_paid=True)
    except Denied:
        return None


async def _answer(fal: FalService, socket: WebSocket, address: Address, endpoint: str, account: str) -> None:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    try:
        value = _read(message)
    except ValueError as error:
        await _refuse(socket, "INVALID_REQUEST", str(error))
        return
    submission = Submission(endpoint, app_of(endpoint), value, account, address.base, is_direct=True)
    job = fal.accept(submission)
    await job.ended.wait()
    if job.outcome and job.outcome.is_good:
        await socket.send_bytes(msgpack.packb({**job.outcome.body, "request_id": job.request_id}))
    else:
        await _refuse(socket, "MODEL_ERROR", json.dumps(job.outcome.body if job.outcome else None))


def _read(message: Any) -> dict[str, Any]:
    try:
        value = json.loads(message["text"]) if message.get("text") else msgpack.unpackb(message["bytes"], raw=False)
    except Exception as error:  # msgpack raises a dozen kinds
        raise ValueError(f"the message is neither msgpack nor JSON: {error}") from error
    if isinstance(value, dict):
        return value
    raise ValueError("the message must be a map")


async def _refuse(socket: WebSocket, error: str, reason: str) -> None:
    await socket.send_json({"type": "x-fal-error", "error": error, "reason": reason})
