"""How does a trained ensemble become one ONNX graph that a station can run without torch?

The graph takes the camera's bytes and returns score maps; weights are stored as float16 and widened once when the
session is built, so the file is half as large and the arithmetic is float32.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from station.training.members import pad_to_multiple
from station.training.network import Deployed, Trainee, fold_norms

OPSET = 17
SMALLEST_HALF = 256  # tensors with fewer values stay float32: nothing to gain


def export(members: Sequence[Trainee], *, path: Path, multiple: int) -> Deployed:
    """Write the averaged `members` to `path` and return the same thing as a torch module.

    Raises:
        onnx.checker.ValidationError: the written graph is not valid.
    """
    deployed = Deployed([copy.deepcopy(member) for member in members]).eval()
    fold_norms(deployed)
    with torch.no_grad():  # to what is stored, so that torch and the graph compute alike
        for weight in deployed.parameters():
            weight.copy_(weight.half().float())
    example = torch.zeros((1, multiple * 6, multiple * 7, 3), dtype=torch.uint8)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecation and of constant shapes
        torch.onnx.export(
            deployed,
            (example,),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["maps"],
            dynamic_axes={"image": {1: "height", 2: "width"}, "maps": {2: "map_height", 3: "map_width"}},
        )
    model = onnx.load(str(path))
    _store_half(model)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return deployed


def _store_half(model: onnx.ModelProto) -> None:
    """Store float32 weights as float16 behind a Cast; onnxruntime folds the Cast when it loads the graph."""
    graph = model.graph
    casts = []
    for weight in graph.initializer:
        if weight.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(weight)
        if values.size < SMALLEST_HALF:
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + "_half"))
        casts.append(helper.make_node("Cast", [name + "_half"], [name], name=name + "_widen", to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def part_scores(deployed: Deployed, image: NDArray[np.uint8], *, multiple: int, stride: int) -> NDArray[np.float32]:
    """Return torch's scores (C,) of one picture (H, W, 3): padded as a station pads, maximum over the real area."""
    height, width = image.shape[:2]
    with torch.inference_mode():
        maps = deployed(torch.from_numpy(pad_to_multiple(image, multiple=multiple))[None])[0]
    real = maps[:, : -(-height // stride), : -(-width // stride)]
    return np.asarray(real.amax((1, 2)).numpy(), np.float32)
