"""Which knobs does a recipe's training have, and where do they stand?"""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Photometry:
    """Ranges of the random lighting. All factors act on grey values in 0..255."""

    gain_sigma: float = 0.30
    gamma_sigma: float = 0.20
    field_sigma: float = 0.15
    noise_max: float = 6.0
    blur_max: float = 1.0
    blur_share: float = 0.25


@dataclass(frozen=True)
class Geometry:
    """Ranges of the random position. `shapes` are (height, width) in px; a picture uses the widest that fits it."""

    shapes: tuple[tuple[int, int], ...] = ((256, 256),)
    scale_sigma: float = 0.12
    aspect_sigma: float = 0.06
    rotation_deg: float = 2.0
    rotation_share: float = 0.3
    flip_x: bool = True
    flip_y: bool = True
    focus_share: float = 0.8


@dataclass(frozen=True)
class Planting:
    """Share of crops that receive artificial defects, and how they are chosen.

    Attributes:
        share: Part of all sound crops that get a planted defect.
        paste_share: Of those, the part taken from real defects of the training parts.
        harmless_share: Part of all crops that get harmless marks (target: sound).
        gap_share: Part of all crops beside which the dark ground is made to show (target: sound).
        drawn: Names of the drawers used (`station.training.drawing.DRAWERS`).
        unseen: Instead of all these, plant what nobody has shown (`station.training.unseen`), as the first class.
    """

    share: float = 0.5
    paste_share: float = 0.5
    harmless_share: float = 0.4
    gap_share: float = 0.0
    drawn: tuple[str, ...] = ()
    unseen: bool = False


@dataclass(frozen=True)
class NetShape:
    """Size of one member network. `widths` are channels at strides 2, 4, 8, 16; `stride` of the maps is 4 or 8."""

    widths: tuple[int, int, int, int] = (16, 32, 48, 64)
    blocks: tuple[int, int, int] = (1, 2, 2)
    head: int = 32
    context: bool = False
    stride: int = 4
    colour: bool = False


@dataclass(frozen=True)
class Settings:
    """Everything that is chosen per recipe before a training starts."""

    photometry: Photometry = field(default_factory=Photometry)
    geometry: Geometry = field(default_factory=Geometry)
    planting: Planting = field(default_factory=Planting)
    net: NetShape = field(default_factory=NetShape)
    batch_pixels: int = 8 * 256 * 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    ema_decay: float = 0.998
    sound_share: float = 0.6
    pixel_weight: float = 1.0
    image_weight: float = 1.0
    rank_weight: float = 0.0
    class_weight: float = 0.5
    multiple: int = 16
    reserve: float = 0.03


def for_recipe(name: str) -> Settings:
    """Return the settings of a recipe; an unknown name gets the general ones."""
    base = Settings()
    if name == "magnetic-tile":
        return replace(
            base,
            photometry=Photometry(field_sigma=0.08),  # a stronger field looks like uneven grinding
            learning_rate=3e-3,
            geometry=Geometry(shapes=((224, 224), (224, 160), (224, 112))),
            planting=Planting(share=0.4, gap_share=0.25, drawn=("blowhole", "break", "crack", "fray", "uneven")),
        )
    if name == "demo-disc":
        return replace(
            base,
            photometry=Photometry(gain_sigma=0.12, gamma_sigma=0.08, field_sigma=0.05, noise_max=3.0, blur_share=0.1),
            # Not mirrored: the lamp stands at one side, which tells a dent from a glint.
            geometry=Geometry(
                shapes=((192, 192),), rotation_deg=4.0, scale_sigma=0.03, aspect_sigma=0.01, flip_x=False, flip_y=False
            ),
            planting=Planting(share=0.0, harmless_share=0.0),
            net=NetShape(widths=(16, 16, 32, 48), blocks=(2, 2, 2), head=16, colour=True),
            learning_rate=4e-3,
            ema_decay=0.996,
        )
    return base


def for_good_parts(*, colour: bool) -> Settings:
    """Return the settings for teaching from good parts alone: one station, one light, a part in nearly one place."""
    return Settings(
        photometry=Photometry(gain_sigma=0.12, gamma_sigma=0.08, field_sigma=0.06, noise_max=4.0, blur_share=0.15),
        geometry=Geometry(
            shapes=((224, 224), (224, 160), (224, 112)),
            rotation_deg=4.0,
            scale_sigma=0.04,
            aspect_sigma=0.01,
            flip_x=False,
            flip_y=False,
        ),
        planting=Planting(share=0.6, paste_share=0.0, harmless_share=0.0, unseen=True),
        net=NetShape(widths=(16, 16, 32, 48), blocks=(1, 2, 2), head=16, colour=colour),
        learning_rate=4e-3,
        ema_decay=0.996,
        rank_weight=0.3,
    )
