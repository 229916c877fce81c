"""A contact sheet: what each step looked at, as one picture for papers and bug reports. Knows nothing of films."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from cli.render.drawing import INK, PAPER, colour_of, draw_cubes, font, panel
from cli.render.footage import Footage
from fovea.answers import RecognitionAnswer, StepTaken

COLUMNS = 4
TILE_WIDTH_PX = 320
CAPTION_PX = 26
GAP_PX = 8


@dataclass(frozen=True, slots=True)
class Tile:
    """One frame of the sheet."""

    step: StepTaken
    time_s: float

    @property
    def caption(self) -> str:
        return f"{self.step.step} {self.step.kind}, {self.time_s:.2f} s"


def write_sheet(footage: Footage, answer: RecognitionAnswer, out: Path) -> None:
    """A PNG: frames of the glance, first and last of every cube, the answer. Raises VideoError kin, OSError."""
    tiles = tiles_of(answer)
    width = COLUMNS * (TILE_WIDTH_PX + GAP_PX) + GAP_PX
    height = round(TILE_WIDTH_PX * footage.size[1] / footage.size[0])
    rows = -(-len(tiles) // COLUMNS)
    below = panel(answer, width)
    sheet = Image.new("RGB", (width, GAP_PX + rows * (height + CAPTION_PX + GAP_PX) + below.height), PAPER)
    pen = ImageDraw.Draw(sheet)
    pictures = footage.pictures_at([tile.time_s for tile in tiles])
    for number, (tile, frame_HWC) in enumerate(zip(tiles, pictures, strict=True)):
        picture = Image.fromarray(frame_HWC).resize((TILE_WIDTH_PX, height), Image.Resampling.LANCZOS)
        draw_cubes(picture, [tile.step])
        row, column = divmod(number, COLUMNS)
        x, y = GAP_PX + column * (TILE_WIDTH_PX + GAP_PX), GAP_PX + row * (height + CAPTION_PX + GAP_PX)
        sheet.paste(picture, (x, y))
        pen.rectangle((x, y + height + 6, x + 12, y + height + 18), fill=colour_of(tile.step.step))
        pen.text((x + 20, y + height + 12), tile.caption, font=font(14), fill=INK, anchor="lm")
    sheet.paste(below, (0, sheet.height - below.height))
    sheet.save(out, format="PNG", optimize=True)


def tiles_of(answer: RecognitionAnswer) -> list[Tile]:
    """A row for the glance, which saw frames of the whole video; then each cube's first frame and, if another, last."""
    glance, *cubes = answer.compute.steps
    duration_s = answer.video.duration_s
    tiles = [Tile(glance, duration_s * (2 * place + 1) / (2 * COLUMNS)) for place in range(COLUMNS)]
    for step in cubes:
        if step.cube is not None:
            tiles += [Tile(step, time_s) for time_s in dict.fromkeys(step.cube.pts_s)]
    return tiles
