"""What single parts does a station cut from its frames, with the truth of every pixel, to train on?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from station.sim.disc import DiscSpec, draw_spec, render_disc
from station.sim.scene import BgrImage, Scene, Sprite


def training_crops(
    seed: int,
    n: int,
    *,
    defect_rate: float = 0.5,
    harmless_rate: float = 0.5,
    margin: float = 0.25,
    diameter_px: float = 300.0,
    holes: int = 6,
) -> Iterator[tuple[BgrImage, dict[str, npt.NDArray[np.bool_]], DiscSpec]]:
    """Single parts as the station's trigger cuts them, for training: a crop, its masks and what was planted.

    The part lies near the middle of the picture, where the trigger fires, and a little off the middle of its
    crop, as a trigger is a little early or late. Every 24th part gets another belt and light, so that nothing is
    learned of one of them.

    Args:
        seed: Everything is drawn from it; give training and test different ones.
        n: How many.
        defect_rate: Share of defective parts.
        harmless_rate: Share with harmless marks.
        margin: Belt around the disc, in diameters over both sides: 0.25 gives crops of 375 px for discs of 300.
        diameter_px: Of the disc.
        holes: Bolt holes per disc.

    Yields:
        Crop (side, side, 3) uint8, masks {class: (side, side) bool} and the specification.

    Raises:
        ValueError: A negative number of crops, or a margin that does not hold the disc.
    """
    if n < 0:
        raise ValueError(f"{n} crops asked for; it must not be negative")
    if not 0.05 <= margin <= 0.5:
        raise ValueError(f"margin is {margin}; it must lie in [0.05, 0.5] diameters")
    width, height = round(diameter_px * 640 / 300), round(diameter_px * 480 / 300)
    side = round(diameter_px * (1 + margin))
    # The whole disc stays in its crop, and the crop in the picture.
    stray = min(0.045 * diameter_px, 0.4 * (side - diameter_px))
    down = min(0.07 * height, (height - side) / 2 - stray - 1)
    rng = np.random.default_rng([seed, 4])
    scene = None
    for index in range(n):
        if scene is None or index % 24 == 0:
            scene = Scene(seed=int(rng.integers(2**31)), width=width, height=height)
        spec = draw_spec(seed, index, defect_rate=defect_rate, harmless_rate=harmless_rate, holes=holes)
        sprite = Sprite(render_disc(spec, diameter_px=diameter_px))
        picture = scene.belt(int(rng.integers(2**20)))
        x = width // 2 + round(rng.uniform(-0.06, 0.06) * diameter_px)
        y = height // 2 + round(rng.uniform(-1, 1) * down)
        sprite.paste(picture, x, y)
        scene.expose(picture, rng)
        left, top = (round(c + rng.uniform(-stray, stray) - side / 2) for c in (x, y))
        half = sprite.image.half
        masks = sprite.image.masks_in(left - x + half, top - y + half, width=side, height=side)
        yield np.ascontiguousarray(picture[top : top + side, left : left + side]), masks, spec
