"""What schemathesis sends as a video: mostly bytes that are none, and some that are. Loaded by its process."""

import os
from pathlib import Path

import schemathesis
from hypothesis import strategies as st

VIDEO = Path(os.environ["FUZZING_VIDEO"]).read_bytes()

bodies = st.one_of(st.just(VIDEO), st.binary(max_size=512), st.just(VIDEO[: len(VIDEO) // 2]))
schemathesis.openapi.format("binary", bodies)
for media_type in ("application/octet-stream", "video/*", "video/mp4"):
    schemathesis.openapi.media_type(media_type, bodies)


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict) -> None:  # type: ignore[type-arg]
    """No name is looked up beyond this machine: hosts of URLs become one that is refused at once."""
    if isinstance(case.body, dict) and isinstance(url := case.body.get("url"), str) and url.startswith("https://"):
        case.body["url"] = "https://127.0.0.1/" + url.rpartition("/")[2]
