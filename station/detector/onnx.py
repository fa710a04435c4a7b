"""How is a verified ONNX model run, and does it still compute what it did when it was made?

Everything onnxruntime is here and nowhere else. The session is made from the verified bytes, so no file but
the parity pictures is read. Threads and spinning are set on purpose: the panel lives on the same machine, and
spinning threads cost more there than they give.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state

from station.core.errors import ConfigError, DetectorFault, InspectionFault, ModelRefused
from station.core.part import BgrImage, Detections
from station.core.verdict import ModelRef
from station.detector.heads import decode_score_maps
from station.detector.tensors import Prepared, prepare, preprocess_hash
from station.registry import ModelCard, Parity, VerifiedModel, read_inside

INPUT, OUTPUT = "image", "maps"
MAX_PICTURE_BYTES = 64 * 1024 * 1024  # of one parity picture

_PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
# onnxruntime's own errors have no common root but Exception; RuntimeError and MemoryError are what its C++ ones become.
_RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    MemoryError,
    *(e for e in vars(onnxruntime_pybind11_state).values() if isinstance(e, type) and issubclass(e, Exception)),
)


class OnnxDetector:
    """A :class:`station.core.ports.Detector` for models with the head ``score-maps``, on the CPU.

    Making one takes as long as loading the model and inspecting its parity pictures, which also warms it up. Detecting
    keeps no state: the same picture gives the same scores, and several threads may ask at once.
    """

    def __init__(self, model: VerifiedModel, *, threads: int = 1) -> None:
        """Loads the model and proves on its parity pictures that it is still itself.

        Args:
            model: From :meth:`station.registry.ModelRegistry.open`.
            threads: CPU threads of one inference.

        Raises:
            ModelRefused: onnxruntime cannot load it, its input or output is not as the card says, or a parity picture
                is missing or gets other scores than it had.
            ConfigError: ``threads`` is less than 1.
        """
        if threads < 1:
            raise ConfigError(f"the detector cannot run on {threads} threads; set threads to 1 or more")
        self.card: ModelCard = model.card
        self._model = model.card.ref
        self._preprocess = preprocess_hash(model.card.input)
        self._session = _session(model, threads)
        _check_signature(self._session, model.card)
        for parity in model.card.parity:
            self._check_parity(parity, _parity_picture(model, parity))

    @property
    def model(self) -> ModelRef:
        """The model in use."""
        return self._model

    @property
    def preprocess(self) -> str:
        """Hash of the preprocessing in use."""
        return self._preprocess

    def detect(self, image: BgrImage) -> Detections:
        """Part scores of every class, and every candidate above the model's floor.

        Raises:
            DetectorFault: The model failed, or gave something that is no score.
            ImageFault: The picture is none, or too large for the model.
        """
        prepared = prepare(image, self.card.input)
        head = self.card.head
        return decode_score_maps(
            self._run(prepared), classes=head.classes, floor=self.card.floor, stride=head.stride, prepared=prepared
        )

    def score_maps(self, image: BgrImage) -> NDArray[np.float32]:
        """For the eye only: the map of every class, stretched to the picture, ``float32`` ``(classes, height, width)``.

        Raises:
            DetectorFault: The model failed.
            ImageFault: The picture is none, or too large for the model.
        """
        prepared = prepare(image, self.card.input)
        (height, width), source = prepared.real, prepared.source
        stretched = np.empty((len(self.card.head.classes), *source), np.float32)
        for target, class_map in zip(stretched, self._run(prepared)[0], strict=True):
            in_tensor = cv2.resize(class_map, prepared.tensor.shape[2:0:-1], interpolation=cv2.INTER_LINEAR)
            target[:] = cv2.resize(in_tensor[:height, :width], source[::-1], interpolation=cv2.INTER_LINEAR)
        return stretched

    def _run(self, prepared: Prepared) -> NDArray[np.float32]:
        try:
            (maps,) = self._session.run([OUTPUT], {INPUT: prepared.tensor})
        except _RUNTIME_ERRORS as error:
            shape = prepared.tensor.shape
            raise DetectorFault(f"{self._model} failed on a {shape[2]} x {shape[1]} tensor: {_short(error)}") from error
        found: NDArray[np.float32] = maps
        return found

    def _check_parity(self, parity: Parity, picture: BgrImage) -> None:
        where = f"{self._model}, {parity.image}"
        try:
            scores = self.detect(picture).scores
        except InspectionFault as error:
            raise ModelRefused(f"{where}: {error}; export the model anew") from error
        for label, expected in parity.scores.items():
            if not math.isclose(scores[label], expected, rel_tol=0.0, abs_tol=parity.tolerance):
                raise ModelRefused(
                    f"{where}: class {label} must score {expected:.4f}, got {scores[label]:.4f} (tolerance "
                    f"{parity.tolerance:g}): the model or its preprocessing is not what it was; export it anew"
                )


def _session(model: VerifiedModel, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 4  # only what ends the process: all else comes as an exception, with its text
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.add_session_config_entry("session.load_model_format", "ONNX")  # never guess .ort from the bytes
    try:
        return onnxruntime.InferenceSession(model.onnx_bytes, options, providers=["CPUExecutionProvider"])
    except _RUNTIME_ERRORS as error:
        raise ModelRefused(
            f"{model.card.ref}: onnxruntime {onnxruntime.__version__} cannot load model.onnx ({_short(error)}); "
            "export it anew, or for an older opset"
        ) from error


def _check_signature(session: Any, card: ModelCard) -> None:
    """Holds the graph's one input and one output against the card; a name or ``None`` as a side means dynamic."""
    wanted_in = ("tensor(uint8)", [1, None, None, 3])
    wanted_out = ("tensor(float)", [1, len(card.head.classes), None, None])
    for what, name, found, (kind, shape) in (
        ("input", INPUT, session.get_inputs(), wanted_in),
        ("output", OUTPUT, session.get_outputs(), wanted_out),
    ):
        if [value.name for value in found] != [name]:
            raise ModelRefused(
                f"{card.ref}: expected one {what} {name!r}, got {[value.name for value in found]}; export it anew"
            )
        sides = [side if isinstance(side, int) else None for side in found[0].shape]
        fits = len(sides) == 4 and all(
            side is None if want is None else side == want or (side is None and what == "output")
            for side, want in zip(sides, shape, strict=True)
        )
        if found[0].type != kind or not fits:
            raise ModelRefused(
                f"{card.ref}: {what} {name!r} must be {kind} {_sides(shape)}, is {found[0].type} {_sides(sides)}; "
                "export it anew"
            )


def _parity_picture(model: VerifiedModel, parity: Parity) -> BgrImage:
    """Decodes a parity picture after reading its size: a small file can hold a picture of gigabytes."""
    data = read_inside(model.folder, parity.image, MAX_PICTURE_BYTES)
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    if not data.startswith(_PNG) or not 0 < width * height <= model.card.input.max_pixels:
        raise ModelRefused(
            f"{model.card.ref}: {parity.image} is no PNG of at most {model.card.input.max_pixels:,} pixels; "
            "copy the model's folder again, whole"
        )
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        picture = None
    if picture is None:
        raise ModelRefused(f"{model.card.ref}: {parity.image} is damaged; copy the model's folder again, whole")
    return np.asarray(picture, dtype=np.uint8)


def _sides(sides: list[int | None]) -> str:
    return f"({', '.join('any' if side is None else str(side) for side in sides)})"


def _short(error: Exception) -> str:
    """The first line of an error of onnxruntime, which can run over pages."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
