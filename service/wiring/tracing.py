"""Where traces go, out of the settings. Needs no HTTP."""

import os

from service.settings import Settings, SettingsError
from service.tracing.tracing import Tracing, Untraced

STANDARD = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def make_tracing(settings: Settings) -> Tracing:
    """Nowhere, unless FOVEA_OTLP_ENDPOINT or one of OpenTelemetry's own variables names a collector.

    Raises SettingsError where OpenTelemetry is wanted and not installed.
    """
    given = [name for name in STANDARD if os.environ.get(name)]
    if settings.otlp_endpoint is None and not given:
        return Untraced()
    try:
        from service.tracing.otel import OtelTracing
    except ImportError as error:
        name = "FOVEA_OTLP_ENDPOINT" if settings.otlp_endpoint is not None else given[0]
        raise SettingsError(
            f"{name} asks for traces, and OpenTelemetry is not installed ({error.name} is missing): install the extra "
            "`otel` (pip install 'fovea-server[otel]'), or leave the variable out"
        ) from None
    return OtelTracing.to_collector(settings.otlp_endpoint)
