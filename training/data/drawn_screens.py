"""Screens as they are recorded: windows of text, terminals, tables, slides, pages with pictures, messages.

Drawn with Pillow from a seed. Knows no file and no model. Shape suffixes: H rows, W columns, C colour channels.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]
_LARGER = 1.5  # drawn larger and brought down: real screens are read from afar
_LETTERS = "abcdefghijklmnopqrstuvwxyz(){}=.:_"


class _Screen:
    """What one recording is drawn with."""

    def __init__(self, size: tuple[int, int], rng: np.random.Generator) -> None:
        self.rng = rng
        self.width, self.height = round(size[0] * _LARGER), round(size[1] * _LARGER)
        self.dark = bool(rng.uniform() < 0.5)
        self.paper: Colour = (30, 30, 34) if self.dark else (252, 252, 252)
        self.ink: Colour = (212, 212, 212) if self.dark else (32, 32, 32)
        self.desktop = self.colour(20, 160)
        self.accents = [self.colour(60, 230) for _ in range(5)]
        self.text_px = int(rng.integers(11, 19))
        self.font = ImageFont.load_default(size=self.text_px)
        self.lines = [self.words() for _ in range(80)]
        self.speed_px = int(rng.integers(0, 17))
        self.start_xy, self.end_xy = rng.uniform(0, 1, 2), rng.uniform(0, 1, 2)

    def colour(self, low: int, high: int) -> Colour:
        red, green, blue = self.rng.integers(low, high, 3).tolist()
        return red, green, blue

    def words(self) -> str:
        rng = self.rng
        return " ".join(
            "".join(_LETTERS[i] for i in rng.integers(0, len(_LETTERS), int(rng.integers(2, 10))))
            for _ in range(int(rng.integers(1, 12)))
        )

    def photo(self, width: int, height: int) -> Image.Image:
        """Colours that run into each other: no picture, and shaped like one."""
        small = self.rng.integers(0, 256, (5, 7, 3), np.uint8)
        return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)

    def pointer(self, draw: ImageDraw.ImageDraw, share: float) -> None:
        x, y = (self.start_xy + (self.end_xy - self.start_xy) * share) * (self.width, self.height)
        draw.polygon([(x, y), (x, y + 20), (x + 6, y + 15), (x + 14, y + 14)], fill=(255, 255, 255), outline=(0, 0, 0))


_Draw = Callable[[_Screen, Image.Image, ImageDraw.ImageDraw, int], None]


def _windows(rng: np.random.Generator, screen: _Screen) -> _Draw:
    """A window on a desktop: a page scrolls, a line is typed."""
    left, top = int(screen.width * rng.uniform(0, 0.25)), int(screen.height * rng.uniform(0, 0.2))
    right, bottom = int(screen.width * rng.uniform(0.8, 1)), int(screen.height * rng.uniform(0.8, 1))
    step_px = int(screen.text_px * 1.5)

    def drawn(screen: _Screen, picture: Image.Image, draw: ImageDraw.ImageDraw, number: int) -> None:
        draw.rectangle((0, 0, screen.width, screen.height), fill=screen.desktop)
        draw.rectangle((left, top, right, bottom), fill=screen.paper)
        for place, line in enumerate(screen.lines):
            y = top + 34 + place * step_px - number * screen.speed_px
            if top < y < bottom - step_px:
                colour = screen.accents[place % 4] if place % 5 == 0 else screen.ink
                draw.text((left + 12 + 18 * (place % 3), y), line, font=screen.font, fill=colour)
        draw.rectangle((left, top, right, top + 26), fill=screen.accents[0])
        draw.text((left + 10, top + 5), screen.lines[0][:30], font=screen.font, fill=screen.paper)
        draw.rectangle((0, screen.height - 30, screen.width, screen.height), fill=screen.accents[1])
        for place in range(5):
            box = (10 + place * 44, screen.height - 26, 40 + place * 44, screen.height - 4)
            draw.rectangle(box, fill=screen.accents[place % 4])
        typed = screen.lines[1][: number // 2] + "|" * (number % 2)
        draw.text((left + 12, bottom - step_px), typed, font=screen.font, fill=screen.ink)

    return drawn


def _terminal(rng: np.random.Generator, screen: _Screen) -> _Draw:
    """Lines of text fill the screen from above, some coloured."""
    background = (0, 0, 0) if screen.dark else screen.colour(0, 50)
    foreground = screen.accents[0] if rng.uniform() < 0.5 else (230, 230, 230)
    pace, step_px = int(rng.integers(1, 4)), int(screen.text_px * 1.3)

    def drawn(screen: _Screen, picture: Image.Image, draw: ImageDraw.ImageDraw, number: int) -> None:
        draw.rectangle((0, 0, screen.width, screen.height), fill=background)
        fit = screen.height // step_px
        shown = 6 + number * pace
        for row, place in enumerate(range(max(0, shown - fit), shown)):
            line = screen.lines[place % len(screen.lines)]
            colour = screen.accents[place % 5] if place % 7 == 0 else foreground
            draw.text((6, row * step_px), line, font=screen.font, fill=colour)

    return drawn


def _table(rng: np.random.Generator, screen: _Screen) -> _Draw:
    """A spreadsheet: cells of numbers, one chosen, and a bar chart over them."""
    cell_px, row_px = int(rng.integers(50, 110)), int(screen.text_px * 1.6)
    values = rng.integers(0, 99999, (60, 20))
    chart = rng.uniform() < 0.6

    def drawn(screen: _Screen, picture: Image.Image, draw: ImageDraw.ImageDraw, number: int) -> None:
        draw.rectangle((0, 0, screen.width, screen.height), fill=screen.paper)
        for row in range(screen.height // row_px + 1):
            for column in range(screen.width // cell_px + 1):
                box = (column * cell_px, row * row_px, (column + 1) * cell_px, (row + 1) * row_px)
                filled = screen.accents[0] if row == 0 else None
                draw.rectangle(box, outline=(170, 170, 170), fill=filled)
                shown = str(values[(row + number * screen.speed_px // 12) % 60, column % 20])
                draw.text((box[0] + 4, box[1] + 3), shown, font=screen.font, fill=screen.ink)
        x, y = (1 + number // 6) * cell_px, (2 + number // 4) * row_px
        draw.rectangle((x, y, x + cell_px, y + row_px), outline=screen.accents[1], width=3)
        if chart:
            left, bottom = screen.width // 2, screen.height - 20
            draw.rectangle((left, screen.height // 2, screen.width - 10, bottom), fill=screen.paper, outline=screen.ink)
            for place in range(8):
                top = bottom - int(values[0, place] / 99999 * screen.height * 0.4)
                bar = (left + 10 + place * 24, top, left + 26 + place * 24, bottom)
                draw.rectangle(bar, fill=screen.accents[place % 5])

    return drawn


def _slides(rng: np.random.Generator, screen: _Screen) -> _Draw:
    """A title and points, or a picture; now and then the next one."""
    title = ImageFont.load_default(size=int(screen.text_px * 2))
    pace = int(rng.integers(6, 30))
    photos = [screen.photo(screen.width // 2, screen.height // 2) for _ in range(2)]
    background = screen.paper if rng.uniform() < 0.6 else screen.colour(0, 255)

    def drawn(screen: _Screen, picture: Image.Image, draw: ImageDraw.ImageDraw, number: int) -> None:
        page = number // pace
        draw.rectangle((0, 0, screen.width, screen.height), fill=background)
        draw.text((30, 24), screen.lines[page][:24], font=title, fill=screen.accents[0])
        for place in range(6):
            y = 80 + place * screen.text_px * 2
            draw.ellipse((34, y + 4, 42, y + 12), fill=screen.accents[1])
            draw.text((52, y), screen.lines[6 * page + place][:40], font=screen.font, fill=screen.ink)
        if page % 2:
            picture.paste(photos[page // 2 % 2], (screen.width // 2 - 10, screen.height // 3))

    return drawn


def _page(rng: np.random.Generator, screen: _Screen) -> _Draw:
    """A page of a browser: an address, columns of pictures with a line below each, scrolling."""
    columns = int(rng.integers(1, 4))
    width_px = screen.width // columns - 24
    height_px = int(width_px * rng.uniform(0.5, 0.8)) + 1
    photos = [screen.photo(width_px, height_px) for _ in range(9)]

    def drawn(screen: _Screen, picture: Image.Image, draw: ImageDraw.ImageDraw, number: int) -> None:
        draw.rectangle((0, 0, screen.width, screen.height), fill=screen.paper)
        for place in range(9 * columns):
            x = 12 + place % columns * (width_px + 24)
            y = 50 + place // columns * (height_px + 50) - number * screen.speed_px
            picture.paste(photos[place % 9], (x, y))
            draw.text((x, y + height_px + 8), screen.lines[place % 80][:40], font=screen.font, fill=screen.ink)
        draw.rectangle((0, 0, screen.width, 36), fill=screen.accents[0])
        draw.rectangle((60, 6, screen.width - 60, 30), fill=screen.paper)
        draw.text((70, 10), screen.lines[0][:40], font=screen.font, fill=screen.ink)

    return drawn


def _messages(rng: np.random.Generator, screen: _Screen) -> _Draw:
    """Bubbles of text left and right; one more comes now and then."""
    pace = int(rng.integers(3, 9))
    bubble_px = int(screen.text_px * 2.2)

    def drawn(screen: _Screen, picture: Image.Image, draw: ImageDraw.ImageDraw, number: int) -> None:
        draw.rectangle((0, 0, screen.width, screen.height), fill=screen.desktop if screen.dark else screen.paper)
        count = 8 + number // pace
        for place in range(count):
            y = screen.height - (count - place) * (bubble_px + 10)
            line = screen.lines[place % 80][:36]
            wide = int(draw.textlength(line, font=screen.font)) + 24
            left = 12 if place % 3 else screen.width - wide - 12
            draw.rounded_rectangle((left, y, left + wide, y + bubble_px), 10, fill=screen.accents[bool(place % 3)])
            draw.text((left + 12, y + bubble_px // 4), line, font=screen.font, fill=(255, 255, 255))

    return drawn


_DRAWN: Mapping[str, Callable[[np.random.Generator, _Screen], _Draw]] = {
    "windows": _windows,
    "terminal": _terminal,
    "table": _table,
    "slides": _slides,
    "page": _page,
    "messages": _messages,
}
SCREENS = tuple(_DRAWN)


def screen(kind: str, size: tuple[int, int], num_frames: int, seed: int) -> Iterator[Picture]:
    """pictures_HWC; `size` is (width, height), `kind` one of SCREENS. A pointer crosses each."""
    rng = np.random.default_rng([seed, SCREENS.index(kind)])
    shown = _Screen(size, rng)
    drawn = _DRAWN[kind](rng, shown)
    for number in range(num_frames):
        picture = Image.new("RGB", (shown.width, shown.height), shown.desktop)
        draw = ImageDraw.Draw(picture)
        drawn(shown, picture, draw, number)
        shown.pointer(draw, number / num_frames)
        yield np.asarray(picture.resize(size, Image.Resampling.BOX), np.uint8)
