"""The program of a timeline's process: surveys one long file, then gives the cells it is asked for.

Knows nothing of the service around it. It ends when its socket closes.
`python -m video.children.timeline_child FD ADDRESS_SPACE_BYTES NICENESS PARENT_PID`
"""

import gc
import logging
import socket
import sys
from fractions import Fraction

import av

from fovea.errors import VideoError, VideoLimitExceeded, VideoUnreadable
from video.children import file_wire, timeline_wire
from video.children.confinement import confine
from video.children.messages import Header, pack, receive
from video.file.cells import FileFacts
from video.file.survey import Survey, survey
from video.file.windows import LongFile

_log = logging.getLogger(__name__)


def main(arguments: list[str]) -> None:
    descriptor, address_space_bytes, niceness, parent_pid = (int(argument) for argument in arguments)
    confine(address_space_bytes, niceness, parent_pid)
    gc.freeze()
    with socket.socket(fileno=descriptor) as connection:
        connection.sendall(pack({}))
        try:
            _serve(connection)
        except VideoError as error:
            connection.sendall(pack(file_wire.failure(error)))
        except FileNotFoundError:
            gone = VideoUnreadable("the upload was removed while it was read: its client has left")
            connection.sendall(pack(file_wire.failure(gone)))
        except MemoryError:
            connection.sendall(pack(file_wire.failure(_too_large(address_space_bytes))))
        except ConnectionError:  # the parent has gone
            raise
        except Exception as error:  # the process's edge: whatever PyAV stumbles over
            _log.exception("a long video could not be read on")
            why = error.strerror if isinstance(error, av.FFmpegError) else type(error).__name__
            failed = VideoUnreadable(f"the video cannot be read on ({why}); convert it to H.264 in mp4")
            connection.sendall(pack(file_wire.failure(failed)))


def _serve(connection: socket.socket) -> None:
    header = receive(connection)
    if header is None:
        return
    path, rule, limits = timeline_wire.read_open_request(header)
    seen = survey(path, limits, lambda: connection.sendall(pack({})))
    connection.sendall(pack(timeline_wire.facts(_facts(seen))))
    first = receive(connection)
    if first is None:
        return
    with LongFile(path, rule, limits, seen, Fraction(*first["cell_us"]) / 10**6) as file:
        asked: Header | None = first
        while asked is not None:
            for index, picture in file.cells(asked["mode"], asked["first"], asked["last"]):
                told, payload = timeline_wire.cell(index, picture)
                connection.sendall(pack(told) + payload)
            connection.sendall(pack(timeline_wire.work(file.work)))
            gc.collect()  # a frame of PyAV's and its side data refer to each other
            asked = receive(connection)


def _facts(seen: Survey) -> FileFacts:
    return FileFacts(
        codec=seen.codec,
        duration_s=seen.duration_s,
        declared_s=seen.declared_s,
        keyframe_interval_s=seen.keyframe_interval_s,
        num_packets=seen.num_packets,
        clock_breaks=seen.clock_breaks,
        is_broken=seen.is_broken,
        failure=seen.failure,
    )


def _too_large(address_space_bytes: int) -> VideoLimitExceeded:
    return VideoLimitExceeded(
        f"decoding needs more than the {address_space_bytes / 2**20:.0f} MiB of memory that a decoding process may "
        "take; send the video at a lower resolution",
        limit_bytes=address_space_bytes,
    )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (BrokenPipeError, ConnectionResetError):  # the parent has gone
        sys.exit(0)
