"""What one would write first: FastAPI pushes to a list of Redis. `python -m bench.arena.app_fastapi PORT REDIS_PORT`.

One worker of uvicorn with uvloop and httptools and without an access log. The secret is in MAINSTAY_BENCH_SECRET.
"""

import hashlib
import hmac
import json
import os
import sys
import time
import uuid

import redis.asyncio
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

from tests.servers.process import LOOPBACK


def app(redis_port: int, secret: bytes) -> FastAPI:
    """The application."""
    made = FastAPI()
    queue = redis.asyncio.Redis(host=LOOPBACK, port=redis_port)

    async def take(request: Request) -> JSONResponse:
        body = await request.body()
        expected = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, request.headers.get("x-signature", "")):
            raise HTTPException(401)
        event_id = uuid.uuid4().hex
        event = {"id": event_id, "source": "bench", "at": time.time(), "body": body.decode("latin-1")}
        await queue.lpush("inbox", json.dumps({**event, "headers": dict(request.headers)}))
        return JSONResponse({"id": event_id}, 202)

    made.post("/bench")(take)
    return made


def main(port: str, redis_port: str) -> None:
    made = app(int(redis_port), os.environ["MAINSTAY_BENCH_SECRET"].encode())
    settings = uvicorn.Config(made, LOOPBACK, int(port), loop="uvloop", http="httptools", access_log=False)
    settings.log_level = "error"
    settings.timeout_keep_alive = 75  # as long as the others keep a connection that nobody uses
    uvicorn.Server(settings).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
