"""How does a test get a small real model on disk whose answer can be worked out by hand?

The model measures darkness: a cell of map c is ``gains[c] * (255 - mean grey) / 255`` over its ``stride`` x ``stride``
pixels. A black square on white therefore scores ``gains[c]`` exactly where it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from station.core.part import BgrImage
from station.detector.tensors import prepare
from station.registry import InputSpec

CREATED = "2026-11-21T00:00:00Z"


def picture(height: int, width: int, *squares: tuple[int, int, int, int], grey: int = 0) -> BgrImage:
    """White, with squares ``(x0, y0, x1, y1)`` of ``grey``."""
    image = np.full((height, width, 3), 255, np.uint8)
    for x0, y0, x1, y1 in squares:
        image[y0:y1, x0:x1] = grey
    return image


def darkness_maps(tensor: NDArray[np.uint8], *, gains: Sequence[float], stride: int) -> NDArray[np.float32]:
    """What the model computes, in numpy: ``(1, H, W, 3)`` to ``(1, len(gains), H / stride, W / stride)``."""
    _, height, width, _ = tensor.shape
    dark = (255.0 - tensor[0].astype(np.float64).mean(axis=2)) / 255.0
    cells = dark.reshape(height // stride, stride, width // stride, stride).mean(axis=(1, 3))
    return np.stack([cells * gain for gain in gains])[np.newaxis].astype(np.float32)


def darkness_onnx(
    *, gains: Sequence[float] = (1.0,), stride: int = 4, change: Callable[[Any, Any], None] | None = None
) -> bytes:
    """The model's ONNX file.

    Args:
        gains: One per class.
        stride: Pixels per cell.
        change: Called with the ``onnx`` package and the ModelProto, to spoil it.
    """
    onnx = pytest.importorskip("onnx", reason="needs the onnx package (extra: train) to build a model")
    from onnx import TensorProto, helper

    def const(name: str, values: Any) -> Any:
        array = np.asarray(values)
        kind = TensorProto.INT64 if array.dtype == np.int64 else TensorProto.FLOAT
        return helper.make_tensor(name, kind, array.shape, array.ravel().tolist())

    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("ReduceMean", ["planes"], ["grey"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["white", "grey"], ["inverse"]),
        helper.make_node("Div", ["inverse", "white"], ["dark"]),
        helper.make_node("AveragePool", ["dark"], ["cells"], kernel_shape=[stride] * 2, strides=[stride] * 2),
        helper.make_node("Mul", ["cells", "gains"], ["maps"]),
    ]
    graph = helper.make_graph(
        nodes,
        "darkness",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, "H", "W", 3])],
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, [1, len(gains), "h", "w"])],
        [const("white", np.float32(255.0)), const("gains", np.float32(gains).reshape(1, -1, 1, 1))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if change is not None:
        change(onnx, model)
    return bytes(model.SerializeToString())


def write_model_folder(
    models: Path,
    *,
    name: str = "darkness",
    version: str = "1",
    classes: Sequence[str] = ("dark",),
    gains: Sequence[float] | None = None,
    stride: int = 4,
    multiple: int = 32,
    padding: str = "replicate",
    resize_long: int = 0,
    max_pixels: int = 8_000_000,
    floor: float = 0.02,
    onnx_bytes: bytes | None = None,
    parity_image: BgrImage | None = None,
    card: Mapping[str, Any] | None = None,
) -> Path:
    """Writes ``<models>/<name>/<version>/{model.onnx, card.toml, parity/0.png}`` and returns that folder.

    ``python -m station`` and the loop can use it as it is.

    Args:
        models: The registry's folder.
        classes: Defect classes; by default the first one sees darkness and the others nothing.
        gains: What each class makes of darkness, in [0, 1].
        onnx_bytes: Another ONNX file under a card with its true sha256.
        parity_image: The parity picture; its scores are worked out in numpy.
        card: Keys ``"floor"`` or ``"head.stride"`` to set in the card, ``None`` to leave out.
    """
    gains = [1.0] + [0.0] * (len(classes) - 1) if gains is None else list(gains)
    data = darkness_onnx(gains=gains, stride=stride) if onnx_bytes is None else onnx_bytes
    image = picture(40, 56, (8, 8, 24, 20), grey=100) if parity_image is None else parity_image
    folder = models / name / version
    (folder / "parity").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(data)
    assert cv2.imwrite(str(folder / "parity" / "0.png"), image)

    spec = {"multiple": multiple, "padding": padding, "colour": "bgr", "max_pixels": max_pixels}
    spec["resize_long"] = resize_long
    prepared = prepare(image, InputSpec.model_validate(spec))
    rows, columns = (-(-side // stride) for side in prepared.real)
    maps = darkness_maps(prepared.tensor, gains=gains, stride=stride)[0, :, :rows, :columns]
    content: dict[str, Any] = {
        "name": name,
        "version": version,
        "created": CREATED,
        "sha256": hashlib.sha256(data).hexdigest(),
        "floor": floor,
        "head": {"kind": "score-maps", "stride": stride, "classes": list(classes)},
        "input": spec,
        "training": {"data": "none: worked out by hand", "seed": 1},
        "metrics": {"auroc": 1.0, "per_class": {"dark": {"auroc": 1.0}}},
        "parity": [
            {
                "image": "parity/0.png",
                "scores": {label: float(top) for label, top in zip(classes, maps.max(axis=(1, 2)), strict=True)},
                "tolerance": 0.005,
            }
        ],
    }
    for key, value in (card or {}).items():
        *tables, last = key.split(".")
        table = content
        for part in tables:
            table = table[part]
        if value is None:
            del table[last]
        else:
            table[last] = value
    (folder / "card.toml").write_text("".join(f"{key} = {_toml(value)}\n" for key, value in content.items()))
    return folder


def _toml(value: Any) -> str:
    """Inline TOML; for numbers, words and lists it is JSON."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    return json.dumps(value)
