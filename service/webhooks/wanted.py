"""Whom to tell of what: what a client asks for beside a job or a stream. A value."""

from dataclasses import dataclass

from fovea.words import WebhookEvent


@dataclass(frozen=True, slots=True)
class Webhook:
    """`url` may hold a token: `repr` does not show it."""

    url: str
    events: tuple[WebhookEvent, ...]

    def __repr__(self) -> str:
        return f"Webhook({', '.join(self.events)})"
