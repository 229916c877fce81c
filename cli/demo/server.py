"""Starts `rtsp_server.py`, a program for the system's Python, and says what is missing where that cannot be.

Knows no service and no video file.
"""

import functools
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).with_name("rtsp_server.py")
SYSTEM_PYTHON = "/usr/bin/python3"  # the one that Debian's python3-gi is for
BINDINGS = (
    "import gi; gi.require_version('GstRtspServer', '1.0'); gi.require_version('GstApp', '1.0'); "
    "from gi.repository import GstApp, GstRtspServer"
)
NEEDED = (
    "GStreamer's RTSP server with its Python bindings; on Debian and Ubuntu: apt-get install python3-gi "
    "gir1.2-gst-rtsp-server-1.0 gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good "
    "gstreamer1.0-plugins-bad"
)


@functools.cache
def is_available() -> bool:
    """Whether an RTSP server can be started here."""
    return (
        shutil.which(SYSTEM_PYTHON) is not None
        and subprocess.run([SYSTEM_PYTHON, "-c", BINDINGS], capture_output=True, check=False).returncode == 0
    )


def start(config: dict[str, Any], prefix: Sequence[str] = ()) -> tuple["subprocess.Popen[str]", int]:
    """The server's process and its port. `config`: see `rtsp_server.py`; `prefix`: what to start it with.

    It ends when its standard input is closed. Raises ValueError where it does not start: what is missing, or that the
    port is taken.
    """
    if not is_available():
        raise ValueError(f"a camera needs {NEEDED}")
    process = subprocess.Popen(
        [*prefix, SYSTEM_PYTHON, str(PROGRAM), json.dumps(config)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        status = process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        raise ValueError(
            f"the RTSP server did not start at {config.get('address')}:{config.get('port')} (exit status {status}, its "
            "own words are above); choose another --port if this one is taken"
        )
    return process, int(json.loads(line)["port"])
