"""Runs the application under uvicorn, and drains it on SIGTERM. Knows no route and no model."""

import asyncio
import errno
import faulthandler
import gc
import socket
from functools import partial
from types import FrameType
from typing import cast

import uvicorn
from fastapi import FastAPI

from service.app import create_app
from service.connections import BoundedConnection, HeadLimits
from service.settings import Settings, SettingsError

SHUTDOWN_S = 45.0  # beyond the drain, for what the lifespan ends; then where it hangs is told, and the process ends


class DrainingServer(uvicorn.Server):
    """On SIGTERM the listener closes, requests on open connections are refused with 503, admitted ones are finished.

    Whoever balances load should stop sending before that: in Kubernetes, a `preStop` sleep of a few seconds.
    `owns_process`: a process that was told to end does end, at the latest `SHUTDOWN_S` after the drain; leases run out
    by themselves, and another replica takes over. Only for a process that does nothing else but serve.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, *, owns_process: bool = False) -> None:
        super().__init__(config)
        self._app = app
        self._owns_process = owns_process

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._owns_process:
            faulthandler.dump_traceback_later((self.config.timeout_graceful_shutdown or 0) + SHUTDOWN_S, exit=True)
        if self._app.state.pipeline is not None:
            self._app.state.pipeline.admission.draining = True
            self._app.state.supervisor.leave()  # cameras need not wait for uploads to finish
            if self._app.state.desk is not None:
                self._app.state.desk.leave()
        super().handle_exit(sig, frame)


def make_server(settings: Settings, app: FastAPI | None = None, *, owns_process: bool = False) -> DrainingServer:
    """A server for `settings` that has not started yet; `.run()` serves until a signal ends it.

    Raises SettingsError where it would be open to strangers or lacks a package, KeyFileError where its keys cannot be
    read.
    """
    settings.check_access()
    settings.check_extras()
    if app is None:
        app = create_app(settings, when_ready=_freeze_heap if owns_process else lambda: None)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=cast("type[asyncio.Protocol]", partial(BoundedConnection, limits=_limits(settings))),
        ws="none",
        timeout_keep_alive=settings.idle_timeout_s,
        log_config=None,  # the caller's logging stands
        access_log=False,  # one line per recognition is logged instead, and the metrics hold the rest
        timeout_graceful_shutdown=max(1, round(settings.drain_timeout_s)),
    )
    return DrainingServer(config, app, owns_process=owns_process)


def _freeze_heap() -> None:
    """What is there once the models are loaded stays to the end, and need not be searched for garbage again and again.

    Such a search stopped every thread for 55 to 75 ms, once in two hundred videos.
    """
    gc.collect()
    gc.freeze()


def _limits(settings: Settings) -> HeadLimits:
    return HeadLimits(
        max_bytes=settings.max_header_bytes,
        max_headers=settings.max_headers,
        timeout_s=settings.header_timeout_s,
        idle_s=settings.idle_timeout_s,
    )


def check_port(host: str, port: int) -> None:
    """Before anything is loaded. Raises SettingsError where nothing can listen there, and says what to do."""
    where = f"FOVEA_PORT={port} of FOVEA_HOST={host}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in found:
            if family in {socket.AF_INET, socket.AF_INET6}:
                socket.create_server(address[:2], family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            said = f"{where} is taken by another program: end it, or take another port (--port; 0 takes any free one)"
        elif error.errno == errno.EACCES:
            said = f"{where} is for root alone: take one from 1024 on, and have a proxy listen there"
        else:
            said = f"{where}: this machine cannot listen there ({error.strerror or error}): name one of its addresses"
        raise SettingsError(said) from None


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, as all that this process does; the metrics are at the same port.

    Raises SettingsError where it would be open to strangers, or cannot listen.
    """
    check_port(settings.host, settings.port)
    make_server(settings, owns_process=True).run()
