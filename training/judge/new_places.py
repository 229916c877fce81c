"""How often a model is right in groups that it did not learn from, after each step: a value, its file, its table.

Such observations come of `fovea calibrate --observations`: of a run with folds each video is answered by the network of
the fold that never saw its group. Knows no network and no video.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from training.judge.observations import Observations
from training.judge.results import POOLED, DepthPoint, Score, step_name
from training.judge.scoring import Scoring

NEW_PLACES = "new_places.json"

_HEAD = (
    "Each video is answered by networks that never saw its group (place, people, session). This is what to expect of a "
    "camera that is new, or a little less: recipes were chosen on these videos, in these deals or in others. Where the "
    "groups were dealt into folds several times, it is the mean over the deals. *Most frequent*: always saying the "
    "most frequent class of each source; `auto` takes no model that is right less often. The first cube of "
    "`adafocus-v3-compact` shows motion, the next two a person."
)


class NewPlaces(BaseModel):
    """Accuracies lie in [0, 1]."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    model: str
    split: str
    depths: tuple[DepthPoint, ...]
    """Every step that there is, from the glance on."""
    deals: tuple[dict[str, float], ...] = ()
    """Of each deal of the folds, by source: top-1 at all steps. Empty where there was one deal alone."""


def on_new_places(seen: Observations) -> NewPlaces:
    """Of observations of videos that the model was not trained on."""
    depths = Scoring(seen).depths([1.0] * len(seen.step_flops_K))
    deals = () if seen.num_deals == 1 else tuple(_at_all_steps(seen, rows) for rows in seen.rows_by_deal)
    return NewPlaces(model=seen.model, split=seen.split, depths=depths, deals=deals)


def _at_all_steps(seen: Observations, rows: slice) -> dict[str, float]:
    right_N, sources_N = seen.correct_NK[rows, -1], np.array(seen.sources_N[rows])
    sources = sorted(set(seen.sources_N)) if any(seen.sources_N) else []
    by_source = {source or "(none)": float(right_N[sources_N == source].mean()) for source in sources}
    return {POOLED: float(right_N.mean())} | by_source


def write_new_places(path: Path, found: NewPlaces) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_new_places(path: Path) -> NewPlaces:
    """Raises ValueError for a file that holds none."""
    try:
        return NewPlaces.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ValueError(f"{path} holds no accuracies of new places ({error}); `fovea compare-exits` does") from error


def new_places_section(found: Sequence[NewPlaces]) -> str:
    """As Markdown, without its heading."""
    if not found:
        return "Not measured: `fovea compare-exits` does."
    sources = sorted({score.source for one in found for score in one.depths[0].scores} - {POOLED})
    lines = [_line(("model", "videos", "step", "GFLOPs", POOLED, *sources))]
    lines.append(_line(["---"] * (5 + len(sources))))
    for one in found:
        told = {score.source: score for score in one.depths[0].scores}
        videos = f"{told[POOLED].videos} of {told[POOLED].groups} groups, {one.split}"
        lines += [_depth_line(one.model, videos, point, sources) for point in one.depths]
        shares = [f"{100 * told[source].majority:.1f}" if source in told else "" for source in sources]
        lines.append(_line((one.model, videos, "most frequent", "", f"{100 * _most_frequent(told):.1f}", *shares)))
    return f"{_HEAD}\n\n" + "".join(lines) + "".join(f"\n{_deals_line(one)}\n" for one in found if one.deals)


def _deals_line(one: NewPlaces) -> str:
    told = []
    for source in one.deals[0]:
        values = [100 * deal[source] for deal in one.deals]
        told.append(f"{source} {min(values):.1f} to {max(values):.1f}")
    return f"{one.model}: mean of {len(one.deals)} deals. From deal to deal, at all steps: {', '.join(told)}."


def _depth_line(model: str, videos: str, point: DepthPoint, sources: Sequence[str]) -> str:
    by_source = {score.source: score for score in point.scores}
    shown = [_top1(by_source.get(source)) for source in (POOLED, *sources)]
    return _line((model, videos, step_name(point.step), f"{point.gflops:.3g}", *shown))


def _most_frequent(told: dict[str, Score]) -> float:
    """Pooled: of each video the most frequent class of its source."""
    parts = [score for source, score in told.items() if source != POOLED] or [told[POOLED]]
    return sum(score.majority * score.videos for score in parts) / sum(score.videos for score in parts)


def _top1(score: Score | None) -> str:
    if score is None:
        return ""
    value, low, high = (f"{100 * number:.1f}" for number in (score.top1.value, score.top1.low, score.top1.high))
    return f"{value} [{low}, {high}]"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"
