"""A video as cameras send it: H.264, a keyframe a second, no B-frames. Knows no RTSP."""

from fractions import Fraction
from pathlib import Path

import av


def as_cameras_send_it(video: Path, out: Path) -> float:
    """Write `video` to `out` (.mp4) as a camera would send it; returns its pictures a second.

    Raises ValueError where libav cannot read it, or finds no picture in it.
    """
    try:
        with av.open(str(video)) as source, av.open(str(out), "w") as output:
            if not source.streams.video:
                raise ValueError(f"{video} holds no video; give a file with moving pictures")
            rate = source.streams.video[0].average_rate or Fraction(25)
            stream = output.add_stream("libx264", rate=rate, options={"bf": "0", "tune": "zerolatency"})
            stream.codec_context.gop_size = max(1, round(rate))
            for number, frame in enumerate(source.decode(video=0)):
                if number == 0:
                    stream.width, stream.height = frame.width // 2 * 2, frame.height // 2 * 2
                    stream.pix_fmt = "yuv420p"
                picture = frame.reformat(stream.width, stream.height, "yuv420p")
                picture.pts, picture.time_base = number, 1 / rate
                output.mux(stream.encode(picture))
            output.mux(stream.encode(None))
    except av.FFmpegError as error:
        raise ValueError(f"{video} cannot be played: {error.strerror}; give a video that other players show") from error
    return float(rate)
