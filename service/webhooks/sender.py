"""One attempt to tell a receiver: signed as Standard Webhooks has it, to an address that was checked. Keeps nothing.

Redirects are not followed: a receiver that has moved is told of by its owner, and nobody is led to another address.
"""

import asyncio
import logging
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
from standardwebhooks import Webhook

from fovea.errors import InvalidOption
from service.tracing.traceparent import current
from service.tracing.tracing import Tracing, Untraced
from service.webhooks.message import Message
from service.webhooks.target import TargetPolicy, TargetRefused, TargetUnknown

logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells of every request, with the token in its URL

GONE = 410
REDIRECTS = range(300, 400)
MOST_RETRY_AFTER_S = 3600.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """What an attempt came to."""

    status: int | None = None
    error: str | None = None  # None: it was delivered
    final: bool = False  # no use in trying again
    retry_after_s: float | None = None  # as the receiver asks


class Sender:
    """`timeout_s`: for a receiver to answer, from the connection on. `tls`: whom to believe; None: the usual."""

    def __init__(
        self,
        policy: TargetPolicy,
        secret: str,
        *,
        timeout_s: float,
        tls: ssl.SSLContext | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.policy = policy
        self._tracing = tracing or Untraced()
        self._webhook = Webhook(secret)
        self._timeout_s = timeout_s
        self._tls = tls

    async def send(self, message: Message) -> Attempt:
        with self._tracing.span("webhook", parent=message.traceparent, kind="client", message=message.id):
            attempt = await self._send(message)
            self._tracing.tell(delivered=attempt.error is None, status=attempt.status or 0)
            return attempt

    async def _send(self, message: Message) -> Attempt:
        try:
            target = self.policy.parse(message.url)  # settings may have changed since it was accepted
            address = await self.policy.resolve(target)
            url = httpx.URL(message.url)
        except TargetUnknown as error:
            return Attempt(error=str(error))
        except (TargetRefused, InvalidOption, httpx.InvalidURL, UnicodeError) as error:
            return Attempt(error=str(error), final=True)
        host = f"[{target.host}]" if ":" in target.host else target.host
        authority = host if url.port is None else f"{host}:{url.port}"
        headers = {
            "Host": authority,
            "Content-Type": "application/json",
            "User-Agent": "Fovea",
            **self._signed(message),
            **({"traceparent": trace} if (trace := current()) else {}),
        }
        if self._tls is None:
            self._tls = await asyncio.to_thread(httpx.create_ssl_context)  # reads a hundred certificates
        # A connection is for one message: the next receiver at this address may have another name.
        client = httpx.AsyncClient(trust_env=False, timeout=None, verify=self._tls)
        try:
            async with asyncio.timeout(self._timeout_s), client:
                request = client.build_request(
                    "POST",
                    url.copy_with(host=address),
                    content=message.body.encode(),
                    headers=headers,
                    extensions={"sni_hostname": target.host},
                )
                response = await client.send(request, stream=True)
                await response.aclose()  # what it has to say is not read
        except TimeoutError:
            return Attempt(error=f"the receiver did not answer within {self._timeout_s:g} s")
        except httpx.HTTPError as error:
            return Attempt(error=f"the receiver could not be told: {type(error).__name__}")
        return _outcome(response)

    def _signed(self, message: Message) -> dict[str, str]:
        now = datetime.now(UTC)
        return {
            "webhook-id": message.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._webhook.sign(message.id, now, message.body),
        }


def _outcome(response: httpx.Response) -> Attempt:
    status = response.status_code
    if response.is_success:
        return Attempt(status)
    if status in REDIRECTS:
        return Attempt(status, f"the receiver answered {status}: redirects are not followed", final=True)
    if status == GONE:
        return Attempt(status, "the receiver answered 410: it wants no more", final=True)
    return Attempt(status, f"the receiver answered {status}", retry_after_s=_retry_after_s(response))


def _retry_after_s(response: httpx.Response) -> float | None:
    text = response.headers.get("retry-after", "")
    try:
        told_s = float(text) if text.isdecimal() else (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(told_s, 0.0), MOST_RETRY_AFTER_S)
