"""What replicas tell each other of answers, in Redis. Where Redis is away there is nothing to tell, and no error."""

import logging
import time
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from service.ledger import keys

log = logging.getLogger(__name__)

ANSWER_S = 0.25  # whoever looks something up waits for it, and looking at the video takes about as long
AGAIN_S = 5.0  # before a Redis that was away is asked again
MAX_BYTES = 2**18  # of one text; a larger one is not shared


class RedisResults:
    """Satisfies `service.results.results.SharedResults`. Each text is kept for `ttl_s`."""

    def __init__(self, url: str, *, ttl_s: float) -> None:
        self._ttl_ms = max(1, round(ttl_s * 1000))
        self._again_s = 0.0
        self._redis: Any = Redis.from_url(  # replies are typed for every protocol at once
            url,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=ANSWER_S,
            socket_connect_timeout=ANSWER_S,
        )

    async def get(self, key: str) -> str | None:
        if time.monotonic() < self._again_s:
            return None
        try:
            text: str | None = await self._redis.get(keys.result(key))
        except (RedisError, OSError) as error:
            self._lost(error)
            return None
        return text

    async def put(self, key: str, text: str) -> None:
        if len(text) > MAX_BYTES or time.monotonic() < self._again_s:
            return
        try:
            await self._redis.set(keys.result(key), text, px=self._ttl_ms)
        except (RedisError, OSError) as error:
            self._lost(error)

    async def close(self) -> None:
        await self._redis.aclose()

    def _lost(self, error: Exception) -> None:
        kind = type(error).__name__  # whose text may hold the URL
        log.warning("Redis cannot be asked for answers that are held (%s): they are computed meanwhile", kind)
        self._again_s = time.monotonic() + AGAIN_S
