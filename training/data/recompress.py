"""A clip as it looks after one more round of H.264: what videos lose on their way from camera to phone to service.

Knows no file. Shape suffixes: T frames, H rows, W columns, C colour channels.
"""

import io

import av
import numpy as np

from models.recognizer import Frames


def recompress(frames_THWC: Frames, crf: int) -> Frames:
    """uint8 RGB in and out, both sides even (ValueError): 4:2:0 has a colour for every four pixels.

    The same pixels every time: with x264's macroblock tree PyAV's build differs from run to run.
    """
    height, width = frames_THWC.shape[1:3]
    if height % 2 or width % 2:
        raise ValueError(f"frames are {height} x {width}, but to be compressed again both sides must be even")
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as writing:
        stream = writing.add_stream("libx264", rate=8, options={"crf": str(crf), "x264-params": "mbtree=0:threads=1"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for frame_HWC in frames_THWC:
            writing.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24")))
        writing.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r") as reading:
        again = [frame.to_ndarray(format="rgb24") for frame in reading.decode(video=0)]
    return np.stack(again).astype(np.uint8, copy=False)
