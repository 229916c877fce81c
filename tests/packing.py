"""Small copies of real videos, as the training data are packed. Knows nothing of the service or of pytest."""

from fractions import Fraction
from pathlib import Path

import av


def packed(source: Path, out: Path, short_side_px: int = 160, crf: int = 24) -> Path:
    """The same pictures at the same times, their short side as told, in H.264.

    The same bytes every time: on a busy machine x264's macroblock tree (PyAV's build) differs from run to run.
    """
    with av.open(str(source)) as reading, av.open(str(out), "w") as writing:
        video = reading.streams.video[0]
        ratio = Fraction(short_side_px, min(video.width, video.height))
        options = {"crf": str(crf), "x264-params": "mbtree=0"}
        made = writing.add_stream("libx264", rate=video.average_rate, options=options)
        made.width, made.height = (2 * round(side * ratio / 2) for side in (video.width, video.height))
        made.pix_fmt = "yuv420p"
        for number, frame in enumerate(reading.decode(video)):
            small = frame.reformat(made.width, made.height, "yuv420p", interpolation="AREA")
            small.pts, small.time_base = number, 1 / video.average_rate
            writing.mux(made.encode(small))
        writing.mux(made.encode(None))
    return out
