"""From the body of `POST /v1/streams` to a Subscription, or the sentence that says what is wrong. Knows no camera."""

import ipaddress
import time

from pydantic import ValidationError
from ulid import ULID

from fovea.errors import InvalidOption
from fovea.stream_answers import NewStream
from fovea.words import ErrorClass
from service.addresses.policy import AddressPolicy, AddressRefused
from service.api.recognitions.options import flops_option
from service.engine.budget import RecognitionOptions
from service.engine.pipeline import Pipeline
from service.settings import Settings
from service.streams.address import CameraUrl
from service.streams.subscription import Subscription, stride_cells
from service.webhooks.wanted import Webhook

LEAST_CELL_S = 0.01  # a hundred pictures a second; no camera sends more


def parse_new_stream(body: bytes) -> NewStream:
    """Raises InvalidOption, which shows no value: it might be a password."""
    try:
        return NewStream.model_validate_json(body)
    except ValidationError as error:
        told = [f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors()]
        raise InvalidOption(f"{'; '.join(told)}; the options are: {', '.join(NewStream.model_fields)}") from None


async def settle(
    asked: NewStream, pipeline: Pipeline, settings: Settings, policy: AddressPolicy, owner: str = ""
) -> Subscription:
    """Everything settled and checked. Raises InvalidOption, UnknownModel, BudgetTooSmall.

    `owner`: the name of the key that asks.
    """
    url = CameraUrl.parse(asked.url)
    plan = pipeline.plan(
        RecognitionOptions(
            model=asked.model,
            task=asked.task,
            budget_flops=_flops("budget_gflops", asked.budget_gflops),
            max_flops=_flops("max_gflops", asked.max_gflops),
            top_k=asked.top_k,
        )
    )
    offer = pipeline.offer(plan.model)
    num_frames = offer.clip_rule.num_frames
    _check_lengths(asked, num_frames, settings)
    await _check_address(url, policy)
    return Subscription(
        id=asked.id or f"str_{ULID()}",
        url=url,
        model=plan.model,
        task=offer.task,
        num_frames=num_frames,
        budget_flops=plan.budget_flops,
        max_flops=plan.max_flops,
        window_s=asked.window_s,
        stride_cells=stride_cells(asked.stride_s, asked.window_s, num_frames),
        top_k=asked.top_k,
        min_score=asked.min_score,
        abstain=asked.abstain,
        on=asked.on,
        ttl_s=asked.ttl_s,
        decode=asked.decode,
        transport=asked.transport,
        clock=asked.clock,
        connect_timeout_s=asked.connect_timeout_s,
        open_timeout_s=asked.open_timeout_s,
        stall_timeout_s=asked.stall_timeout_s,
        created_s=time.time(),
        name=asked.name,
        labels=asked.labels,
        webhook=None if asked.webhook_url is None else Webhook(asked.webhook_url, tuple(asked.webhook_events)),
        owner=owner,
    )


def _check_lengths(asked: NewStream, num_frames: int, settings: Settings) -> None:
    least_s, most_s = num_frames * LEAST_CELL_S, settings.max_window_s
    for name, seconds in (("window_s", asked.window_s), ("stride_s", asked.stride_s)):
        if seconds > most_s:
            raise InvalidOption(
                f"{name}={seconds:g} is longer than the {most_s:g} s of a camera that are kept; ask for at most that",
                option=name,
            )
    if asked.window_s < least_s:
        raise InvalidOption(
            f"window_s={asked.window_s:g} is too short for {num_frames} frames; ask for at least {least_s:g}",
            option="window_s",
        )
    if asked.top_k > settings.max_top_k:
        raise InvalidOption(
            f"top_k={asked.top_k}: must be a whole number from 1 to {settings.max_top_k}", option="top_k"
        )


async def _check_address(url: CameraUrl, policy: AddressPolicy) -> None:
    """A name that does not resolve now may later; an address that is refused is refused at once."""
    try:
        await policy.resolve(url)
    except AddressRefused as error:
        if error.error_class is ErrorClass.ADDRESS or _is_literal(url.host):
            raise InvalidOption(f"url: {error.detail}", option="url") from None


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _flops(name: str, gflops: float | None) -> int | None:
    return None if gflops is None else flops_option(name, {name: repr(gflops)})
