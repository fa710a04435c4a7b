"""Does an ONNX file stand on its own, with nothing in it but what onnxruntime brings along?"""

from __future__ import annotations

from collections.abc import Iterator

from station.core.errors import ModelRefused

ALLOWED_DOMAINS = frozenset({"", "ai.onnx", "com.microsoft"})  # what onnxruntime itself brings along

# What of an ONNX file must be looked into: message -> field number -> message inside (onnx.proto, all versions so far).
_INSIDE = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_NODE_DOMAIN, _FUNCTION_DOMAIN, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 7, 10, 13, 14
_MAX_DEPTH = 100  # as protobuf's own readers


def check_onnx(data: bytes, model: str) -> None:
    """Walks the protobuf of an ONNX file without reading its weights.

    onnxruntime would read weights kept in other files relative to the working folder, and takes its own ``.ort``
    format for an ONNX file; the ``onnx`` package is not there at run time, so the few fields are read here.

    Args:
        data: The whole file.
        model: Named in the message.

    Raises:
        ModelRefused: It is no ONNX file or is cut off, keeps weights in other files, or uses operators of a domain
            that onnxruntime does not bring along and the file does not define.
    """
    if data[4:8] == b"ORTM":
        raise ModelRefused(f"{model}: model.onnx is in the .ort format, which is not checked here; export it as ONNX")
    view = memoryview(data)
    used: set[str] = set()
    try:
        graphs = sum(number == 7 for number, _ in _fields(view))
        own = {
            str(value, "utf-8")
            for number, function in _fields(view)
            if number == 25 and isinstance(function, memoryview)
            for inner, value in _fields(function)
            if inner == _FUNCTION_DOMAIN and isinstance(value, memoryview)
        }
        external = _walk(view, "model", used, 0)
    except (ValueError, IndexError, RecursionError) as error:
        raise ModelRefused(f"{model}: model.onnx is no whole ONNX file ({error}); export or copy it again") from error
    if graphs != 1:
        raise ModelRefused(f"{model}: model.onnx holds {graphs} graphs, not one; export or copy it again")
    if external:
        raise ModelRefused(f"{model}: model.onnx keeps weights in other files; export it with all weights inside")
    if foreign := sorted(used - ALLOWED_DOMAINS - own):
        raise ModelRefused(f"{model}: model.onnx needs operators of {', '.join(foreign)}; export it with standard ones")


def _walk(data: memoryview, message: str, used: set[str], depth: int) -> bool:
    """Collects the operators' domains; true where a tensor lies outside the file."""
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deep")
    external = False
    inside = _INSIDE[message]
    for number, value in _fields(data):
        if message == "tensor":
            external |= number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and value != 0)
        elif not isinstance(value, memoryview):
            continue
        elif number in inside:
            external |= _walk(value, inside[number], used, depth + 1)
        elif message == "node" and number == _NODE_DOMAIN:
            used.add(str(value, "utf-8"))
    return external


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """The fields of one protobuf message: number, and bytes or integer (protobuf's encoding guide)."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if number == 0 or key >> 32 or wire not in (0, 1, 2, 5):  # C++ readers drop the bits above 32: refuse them
            raise ValueError(f"wrong field at byte {at}")
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        size, at = _varint(data, at) if wire == 2 else ((8, at) if wire == 1 else (4, at))
        if at + size > len(data):
            raise ValueError("cut off")
        yield number, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(f"wrong number at byte {at}")
