"""What others would write around the same networks: services that `benchmarks.peers` races against. Each answers
`POST /` with the label of the posted video, and takes no budget.

- `plain`: FastAPI, PyAV and eager torch, as a tutorial has it: every frame is decoded and converted, then all steps.
- `pipeline`: transformers' video-classification pipeline around the same torch network; it decodes up to the last
  sampled frame and brings pictures to size by its own image processor.
- `expert`: decodes no further than the sampled frames need, by seeking, one thread a video; OpenVINO in bf16 where the
  machine has it; a process per core, each with one thread.

    python -m benchmarks.rivals plain --port 9001

Knows Fovea's networks and weights, and neither its service nor its decoding.
"""

import argparse
import asyncio
import io
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import av
import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from numpy.typing import NDArray

from models import load_model
from models.bundle import Bundle
from models.catalogue import available_models
from models.loading import load_network
from models.runtime import RuntimeConfig

MODEL = "adafocus-v3-compact"


def cover(frame: av.VideoFrame, height: int, width: int) -> NDArray[np.uint8]:
    """The middle of the picture, as large as the model wants it."""
    scale = max(height / frame.height, width / frame.width)
    tall, wide = max(height, round(frame.height * scale)), max(width, round(frame.width * scale))
    picture = frame.to_ndarray(format="rgb24", width=wide, height=tall)
    top, left = (tall - height) // 2, (wide - width) // 2
    return np.ascontiguousarray(picture[top : top + height, left : left + width])


def plainly(num_frames: int, height: int, width: int, video: bytes) -> NDArray[np.uint8]:
    """Every frame decoded and converted; then the sampled ones are taken."""
    with av.open(io.BytesIO(video)) as container:
        frames = [cover(frame, height, width) for frame in container.decode(video=0)]
    return np.stack([frames[int((n + 0.5) * len(frames) / num_frames)] for n in range(num_frames)])


def expertly(num_frames: int, height: int, width: int, video: bytes) -> NDArray[np.uint8]:
    """From the keyframe before each sampled time on, and only what is sampled is converted."""
    with av.open(io.BytesIO(video)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        begin, end = stream.start_time or 0, (stream.start_time or 0) + _ticks(container, stream)
        wanted = [int(begin + (n + 0.5) * (end - begin) / num_frames) for n in range(num_frames)]
        return np.stack([cover(frame, height, width) for frame in _frames_at(container, stream, wanted)])


def _ticks(container: Any, stream: Any) -> int:
    return int(stream.duration or container.duration / av.time_base / stream.time_base)


def _frames_at(container: Any, stream: Any, wanted: list[int]) -> Iterator[av.VideoFrame]:
    """The first frame at or behind each time. It seeks where a keyframe lies between where it is and what is wanted."""
    entries = [entry.timestamp for entry in stream.index_entries if entry.is_keyframe]
    frames, last, at = container.decode(stream), None, -1
    for time in wanted:
        key = max((entry for entry in entries if entry <= time), default=None)
        if key is not None and key > at:
            container.seek(key, stream=stream)
            frames = container.decode(stream)
        for frame in frames:
            last, at = frame, frame.pts
            if frame.pts >= time:
                break
        assert last is not None
        yield last


def answerer(decode: Callable[..., NDArray[np.uint8]], runtime: RuntimeConfig) -> Callable[[bytes], str]:
    """Video to label, by all steps of the model."""
    model = load_model(MODEL, runtime=runtime)
    rule, recognizer = model.recognizer.clip_rule, model.recognizer

    def answer(video: bytes) -> str:
        clip = decode(rule.num_frames, rule.height_px, rule.width_px, video)
        states = recognizer.glance([clip])
        for _ in range(len(recognizer.step_flops) - 1):
            states = recognizer.focus(states)
        return str(model.bundle.labels[int(states[0].probabilities_C.argmax())])

    return answer


def pipeline_answerer() -> Callable[[bytes], str]:
    import torch  # noqa: PLC0415  # this rival's alone, as what follows
    import transformers  # noqa: PLC0415
    from transformers.modeling_outputs import ImageClassifierOutput  # noqa: PLC0415

    bundle = Bundle.read(available_models()[MODEL])
    rule, network = bundle.clip_rule, load_network(bundle)

    class Config(transformers.PretrainedConfig):
        model_type = "fovea"

    class FoveaForVideoClassification(transformers.PreTrainedModel):
        config_class = Config
        main_input_name = "pixel_values"

        def __init__(self, config: Config) -> None:
            super().__init__(config)
            self.network = network
            self.post_init()

        def _init_weights(self, module: object) -> None:
            """They are loaded."""

        def forward(self, pixel_values: Any) -> ImageClassifierOutput:
            clips_BTHWC = pixel_values.permute(0, 1, 3, 4, 2).round().to(torch.uint8)
            return ImageClassifierOutput(logits=self.network(clips_BTHWC).logits_BEC[:, -1])

    labels = dict(enumerate(bundle.labels))
    size = {"height": rule.height_px, "width": rule.width_px}
    processor = transformers.VideoMAEImageProcessor(
        size={"shortest_edge": min(size.values())}, crop_size=size, do_rescale=False, do_normalize=False
    )
    model = FoveaForVideoClassification(Config(id2label=labels, num_frames=rule.num_frames)).eval()
    classify = transformers.pipeline("video-classification", model=model, image_processor=processor)

    def answer(video: bytes) -> str:
        with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
            file.write(video)
            file.flush()
            with av.open(file.name) as container:
                count = container.streams.video[0].frames
            rate = max(1, count // rule.num_frames)
            return str(classify(file.name, frame_sampling_rate=rate, top_k=1)[0]["label"])

    return answer


_answer: Callable[[bytes], str]


def _start_expert() -> None:
    global _answer  # noqa: PLW0603  # a process's own, as a pool's initializer has it
    _answer = answerer(expertly, RuntimeConfig("openvino", "auto", num_threads=1))


def _answer_expertly(video: bytes) -> str:
    return _answer(video)


def service(pool: Executor, answer: Callable[[bytes], str]) -> FastAPI:
    app = FastAPI()

    @app.post("/")
    async def recognize(request: Request) -> dict[str, str]:
        body = await request.body()
        return {"label": await asyncio.get_running_loop().run_in_executor(pool, answer, body)}

    return app


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rivals", description=__doc__)
    parser.add_argument("which", choices=("plain", "pipeline", "expert"))
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    cores = multiprocessing.cpu_count()
    if arguments.which == "plain":
        pool: Executor = ThreadPoolExecutor(cores)
        app = service(pool, answerer(plainly, RuntimeConfig("torch", "fp32")))
    elif arguments.which == "pipeline":
        pool = ThreadPoolExecutor(1)  # a pipeline is not made for threads
        app = service(pool, pipeline_answerer())
    else:
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(cores, mp_context=context, initializer=_start_expert)
        list(pool.map(abs, range(cores)))  # started
        app = service(pool, _answer_expertly)
    try:
        uvicorn.run(app, port=arguments.port, log_level="warning")
    finally:
        pool.shutdown(cancel_futures=True)


if __name__ == "__main__":
    main()
