"""`fovea demo-camera`: a video as an RTSP camera, to try streams with. Knows no service.

PyAV is imported inside the command, so that `fovea --help` is quick.
"""

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer


def demo_camera(
    clip: Annotated[Path, typer.Argument(help="The video to play in a loop.", exists=True, dir_okay=False)],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0: every interface.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0: any free one.", min=0, max=65535)] = 8554,
) -> None:
    """Play a video as an RTSP camera, in a loop, until Ctrl-C. Needs GStreamer; says which packages where it is not."""
    from cli.demo.footage import as_cameras_send_it
    from cli.demo.server import NEEDED, is_available, start

    if not is_available():
        raise ValueError(f"the demo camera needs {NEEDED}")
    with tempfile.TemporaryDirectory(prefix="fovea-demo-camera-") as folder:
        file = Path(folder) / "camera.mp4"
        fps = as_cameras_send_it(clip, file)
        process, port = start({"address": host, "port": port, "mounts": {"/cam": [str(file)]}, "fps": fps})
        typer.echo(f"{clip.name} plays at rtsp://{host}:{port}/cam until Ctrl-C")
        typer.echo(
            "A service refuses cameras on its own machine unless told otherwise; to try this one:\n"
            "    FOVEA_STREAM_ALLOWED_NETWORKS=127.0.0.0/8 make run\n"
            f"    fovea streams add rtsp://{host}:{port}/cam",
            err=True,
        )
        try:
            with suppress(KeyboardInterrupt):
                process.wait()
        finally:
            process.kill()
            process.wait()
