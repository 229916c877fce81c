"""The README's picture can be taken again by the command that its caption names."""

from pathlib import Path

from PIL import Image

from tests.serving import serving
from tools.pictures import LOOKS, take_pictures

MAX_BYTES = 200_000


async def test_pictures_are_taken_of_two_answers_and_stay_small(tmp_path: Path) -> None:
    with serving() as served:
        paths = await take_pictures(served.url, tmp_path)
    assert [path.stem for path in paths] == [look.name for look in LOOKS]
    assert paths[0].stat().st_size < MAX_BYTES, "the README's"
    for path, look in zip(paths, LOOKS, strict=True):
        with Image.open(path) as picture:
            assert picture.size[0] == look.width
            assert len(picture.convert("RGB").getcolors(2**24) or []) > 32, "not an empty page"
