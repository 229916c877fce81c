"""Cubes, labels and FLOPs as pictures. Knows an answer and no file."""

import functools
from collections.abc import Collection

from PIL import Image, ImageDraw, ImageFont

from fovea.answers import RecognitionAnswer, StepTaken

COLOURS = ("#8b98a9", "#f59e0b", "#0ea5e9", "#a855f7", "#22c55e", "#ef4444", "#14b8a6", "#ec4899", "#6366f1")
PAPER, INK, SOFT, RULE, BAR = "#11151b", "#e8ebef", "#a3aebd", "#2d3642", "#7a4d12"

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def colour_of(step: int) -> str:
    """The glance is grey, cubes go round the other colours: the same as on the playground."""
    return COLOURS[0] if step == 0 else COLOURS[1 + (step - 1) % (len(COLOURS) - 1)]


@functools.cache
def font(size_px: int) -> Font:
    """Pillow's own, so that pictures look the same everywhere."""
    return ImageFont.load_default(size_px)


def draw_cubes(picture: Image.Image, steps: Collection[StepTaken]) -> None:
    """The box of each step's cube, with the step's number in its corner."""
    width, height = picture.size
    line = max(2, round(min(width, height) / 120))
    pen = ImageDraw.Draw(picture)
    for step in steps:
        if step.cube is None:
            continue
        box = step.cube.box
        left, top = round(box.x * width), round(box.y * height)
        right, bottom = round((box.x + box.w) * width) - 1, round((box.y + box.h) * height) - 1
        colour = colour_of(step.step)
        pen.rectangle((left, top, right, bottom), outline="#000000", width=line + 2)
        pen.rectangle((left + 1, top + 1, right - 1, bottom - 1), outline=colour, width=line)
        size = max(14, min(width, height) // 18)
        pen.rectangle((left + 1, top + 1, left + round(size * 1.3), top + round(size * 1.2)), fill=colour)
        middle = (left + round(size * 0.65), top + round(size * 0.6))
        pen.text(middle, str(step.step), font=font(size), fill="#000000", anchor="mm")


def panel(answer: RecognitionAnswer, width_px: int, shown: Collection[int] = ()) -> Image.Image:
    """What was thought and what it cost, as a strip of that width; steps in `shown` stand out. Its height is even."""
    size = max(12, min(20, width_px // 48))
    line, pad = round(size * 1.6), size
    num_lines = max(len(answer.predictions), len(answer.compute.steps))
    height = pad + 2 * line + line // 2 + num_lines * line + pad
    picture = Image.new("RGB", (width_px, height + height % 2), PAPER)
    pen = ImageDraw.Draw(picture)
    pen.text((pad, pad), fitting(verdict(answer), width_px - 2 * pad, size), font=font(size), fill=INK)
    pen.text((pad, pad + line), fitting(_account(answer), width_px - 2 * pad, size), font=font(size), fill=SOFT)
    top, half = pad + 2 * line + line // 2, width_px * 9 // 20
    for row, one in enumerate(answer.predictions):
        y = top + row * line
        pen.rectangle((pad, y, pad + round((half - 2 * pad) * one.score), y + line - 4), fill=BAR)
        label = fitting(one.name, half - 2 * pad - 4 * size, size)
        pen.text((pad + 6, y + line // 2 - 2), label, font=font(size), fill=INK, anchor="lm")
        pen.text((half - pad, y + line // 2 - 2), f"{one.score:.2f}", font=font(size), fill=INK, anchor="rm")
    for row, step in enumerate(answer.compute.steps):
        y = top + row * line
        if step.step in shown:
            pen.rectangle((half, y, width_px - pad, y + line - 4), fill=RULE)
        pen.rectangle((half + 6, y + 4, half + line - 6, y + line - 8), fill=colour_of(step.step))
        cost = f"{step.entropy_nats:.2f} nats, {step.gflops:.3g} GFLOPs"
        pen.text((width_px - pad - 6, y + line // 2 - 2), cost, font=font(size), fill=SOFT, anchor="rm")
        room = width_px - pad - half - line - round(font(size).getlength(cost)) - size
        said = fitting(f"{step.step} {step.kind}: {step.top.score:.2f} {step.top.name}", room, size)
        pen.text((half + line + 2, y + line // 2 - 2), said, font=font(size), fill=INK, anchor="lm")
    return picture


def fitting(text: str, room_px: int, size_px: int) -> str:
    """As much of the text as there is room for."""
    if font(size_px).getlength(text) <= room_px:
        return text
    while text and font(size_px).getlength(text + "…") > room_px:
        text = text[:-1]
    return text + "…"


def verdict(answer: RecognitionAnswer) -> str:
    """In a line; where the answer abstains, why, and what was likeliest."""
    likeliest = "".join(f"{one.name} {one.score:.2f}" for one in answer.predictions[:1])
    said = likeliest if answer.reason is None else f"{answer.reason}: {likeliest or 'nothing'}"
    trained = "" if answer.trained else " UNTRAINED: labels mean nothing."
    return f"{said}; {answer.exit.reason} after step {answer.exit.step}.{trained}"


def _account(answer: RecognitionAnswer) -> str:
    compute = answer.compute
    ceiling = "" if compute.max_gflops is None else f", ceiling {compute.max_gflops:.3g}"
    spent = f"{compute.spent_gflops:.3g} GFLOPs spent"
    return f"{answer.model}: {spent} (budget {compute.budget_gflops:.3g} in the mean{ceiling})"
