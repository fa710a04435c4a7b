"""Is only a model run that is what its card says, and does every failure become a named fault?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from station.core.errors import ConfigError, DetectorFault, ImageFault, ModelRefused
from station.core.part import Box
from station.core.ports import Detector
from station.detector.onnx import OnnxDetector
from station.detector.tensors import preprocess_hash
from station.registry import ModelRegistry
from tests.detector.builders import darkness_maps, darkness_onnx, picture, write_model_folder

Change = Callable[[Any, Any], None]


def load(models: Path, name: str = "darkness", *, threads: int = 1) -> OnnxDetector:
    return OnnxDetector(ModelRegistry(models).open(f"{name}/1"), threads=threads)


def load_changed(models: Path, change: Change, **folder: Any) -> OnnxDetector:
    write_model_folder(models, onnx_bytes=darkness_onnx(change=change), **folder)
    return load(models)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> OnnxDetector:
    models = tmp_path_factory.mktemp("models")
    write_model_folder(models, classes=("dark", "dim"), gains=(1.0, 0.5))
    return load(models)


def test_it_says_which_model_and_preprocessing_it_is(detector: OnnxDetector) -> None:
    port: Detector = detector
    assert str(port.model) == "darkness/1"
    assert port.model.sha256 == detector.card.sha256
    assert port.preprocess == preprocess_hash(detector.card.input)


def test_a_dark_square_is_found_by_both_classes(detector: OnnxDetector) -> None:
    found = detector.detect(picture(100, 90, (20, 40, 36, 60)))
    assert found.scores == {"dark": pytest.approx(1.0), "dim": pytest.approx(0.5)}
    assert [(d.label, d.box) for d in found.candidates] == [
        ("dark", Box(20, 40, 36, 60)),
        ("dim", Box(20, 40, 36, 60)),
    ]


def test_the_heat_map_lies_under_the_picture(detector: OnnxDetector) -> None:
    heat = detector.detect(picture(100, 90, (20, 40, 36, 60))).heat
    assert heat is not None
    assert heat.shape == (25, 22)  # 100 x 90 pixels in cells of 4; the 23rd column is half padding
    np.testing.assert_array_equal(np.argwhere(heat == 255).min(axis=0), (10, 5))
    np.testing.assert_array_equal(np.argwhere(heat == 255).max(axis=0), (14, 8))


def test_the_floor_is_that_of_the_card(by_spec: Callable[..., OnnxDetector]) -> None:
    faint = picture(64, 64, (16, 16, 32, 32), grey=204)  # scores 0.2
    assert len(by_spec(floor=0.02).detect(faint).candidates) == 1
    assert by_spec(floor=0.21).detect(faint).candidates == ()
    assert by_spec(floor=0.21).detect(faint).score == pytest.approx(0.2)


def test_a_white_picture_scores_zero_for_every_class(detector: OnnxDetector) -> None:
    found = detector.detect(picture(64, 64))
    assert found.candidates == ()
    assert found.scores == {"dark": 0.0, "dim": 0.0}


def test_scores_are_those_of_numpy(detector: OnnxDetector) -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    expected = darkness_maps(image[np.newaxis], gains=(1.0, 0.5), stride=4)[0].max(axis=(1, 2))
    assert list(detector.detect(image).scores.values()) == pytest.approx(list(expected), abs=1e-6)


@pytest.fixture(scope="module")
def by_spec(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., OnnxDetector]]:
    made: dict[tuple[Any, ...], OnnxDetector] = {}

    def make(**spec: Any) -> OnnxDetector:
        key = tuple(sorted(spec.items()))
        if key not in made:
            models = tmp_path_factory.mktemp("models")
            write_model_folder(models, **spec)
            made[key] = load(models)
        return made[key]

    return make


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_planted_square_comes_back_within_one_stride(
    by_spec: Callable[..., OnnxDetector], data: st.DataObject
) -> None:
    stride = data.draw(st.sampled_from([4, 8]))
    resize_long = data.draw(st.sampled_from([0, 160]))
    detector = by_spec(
        stride=stride,
        multiple=data.draw(st.sampled_from([8, 32])),
        padding=data.draw(st.sampled_from(["replicate", "reflect"])),
        resize_long=resize_long,
    )
    height, width = data.draw(st.integers(60, 300)), data.draw(st.integers(60, 300))
    scale = resize_long / max(height, width) if resize_long else 1.0
    least = int(np.ceil((2 * stride + 2) / scale))  # so that one cell at least is dark all over
    side = data.draw(st.integers(least, least + 20))
    if side >= min(height, width):
        return
    x0, y0 = data.draw(st.integers(0, width - side)), data.draw(st.integers(0, height - side))
    found = detector.detect(picture(height, width, (x0, y0, x0 + side, y0 + side)))
    allowed = stride / scale + (1.0 / scale + 1.0 if resize_long else 0.0)  # resizing blurs by a pixel
    best = found.candidates[0]
    assert best.score > 0.95
    assert len(found.candidates) == 1
    assert np.abs(np.subtract(best.box.xyxy, (x0, y0, x0 + side, y0 + side))).max() <= allowed


def test_two_threads_give_the_same(tmp_path: Path, detector: OnnxDetector) -> None:
    write_model_folder(tmp_path, classes=("dark", "dim"), gains=(1.0, 0.5))
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    assert load(tmp_path, threads=2).detect(image) == detector.detect(image)
    with pytest.raises(ConfigError, match="threads"):
        load(tmp_path, threads=0)


def test_the_model_runs_from_the_verified_bytes(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path)
    model = ModelRegistry(tmp_path).open("darkness/1")
    (folder / "model.onnx").write_bytes(darkness_onnx(gains=(0.1,)))
    assert OnnxDetector(model).detect(picture(40, 40, (0, 0, 40, 40))).score == pytest.approx(1.0)


def test_score_maps_lie_over_the_picture(by_spec: Callable[..., OnnxDetector]) -> None:
    image = picture(100, 150, (60, 30, 100, 60))
    for resize_long in (0, 160):
        (heat,) = by_spec(stride=4, multiple=32, padding="replicate", resize_long=resize_long).score_maps(image)
        assert heat.shape == (100, 150)
        assert heat[35:55, 65:95].min() > 0.95
        heat[24:66, 54:106] = 0
        assert heat.max() < 0.05


# --- refused at load --------------------------------------------------------------------------------------


def test_another_score_than_on_the_card_is_refused_with_both(tmp_path: Path) -> None:
    write_model_folder(
        tmp_path,
        classes=("dark", "dent"),
        card={"parity": [{"image": "parity/0.png", "scores": {"dark": 0.608, "dent": 0.1}, "tolerance": 0.005}]},
    )
    with pytest.raises(
        ModelRefused, match=r"parity/0\.png: class dent must score 0\.1000, got 0\.0000 \(tolerance 0\.005"
    ):
        load(tmp_path)


def test_the_tolerance_is_kept(tmp_path: Path) -> None:
    true = 155 / 255
    for name, difference in (("within", 0.0049), ("beyond", 0.0051)):
        checks = [{"image": "parity/0.png", "scores": {"dark": true + difference}, "tolerance": 0.005}]
        write_model_folder(tmp_path, name=name, card={"parity": checks})
    load(tmp_path, "within")
    with pytest.raises(ModelRefused, match="must score"):
        load(tmp_path, "beyond")


def test_every_parity_picture_is_checked(tmp_path: Path) -> None:
    good = {"image": "parity/0.png", "scores": {"dark": 155 / 255}, "tolerance": 0.005}
    write_model_folder(tmp_path, card={"parity": [good, {**good, "scores": {"dark": 0.2}}]})
    with pytest.raises(ModelRefused, match=r"must score 0\.2000"):
        load(tmp_path)


def _missing(path: Path) -> None:
    path.unlink()


def _bmp(path: Path) -> None:
    """Gives the right scores, and looks like 1 x 1 pixels where a PNG has its size."""
    path.write_bytes(cv2.imencode(".bmp", picture(256, 256, (0, 0, 256, 256), grey=100))[1].tobytes())


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _link(path: Path) -> None:
    other = path.parents[3] / "other.png"
    path.rename(other)
    path.symlink_to(other)


@pytest.mark.parametrize("spoil", [_missing, _bmp, _cut, _empty, _link])
def test_a_parity_picture_that_is_none_is_refused(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    folder = write_model_folder(tmp_path / "models")
    spoil(folder / "parity" / "0.png")
    with pytest.raises(ModelRefused, match=r"0\.png"):
        load(tmp_path / "models")


def test_a_parity_picture_is_not_decoded_when_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_model_folder(tmp_path)
    path = folder / "parity" / "0.png"
    data = bytearray(path.read_bytes())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    path.write_bytes(data)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(ModelRefused, match=r"0\.png is no PNG of at most 8,000,000 pixels"):
        load(tmp_path)


def test_a_parity_picture_outside_the_folder_is_refused(tmp_path: Path) -> None:
    folder = write_model_folder(
        tmp_path, card={"parity": [{"image": "../0.png", "scores": {"dark": 155 / 255}, "tolerance": 0.005}]}
    )
    (folder / "parity" / "0.png").rename(folder.parent / "0.png")
    with pytest.raises(ModelRefused, match="leads out of"):
        load(tmp_path)


def _rename(kind: str) -> Change:
    def change(onnx: Any, model: Any) -> None:
        if kind == "input":
            model.graph.input[0].name = model.graph.node[0].input[0] = "picture"
        else:
            model.graph.output[0].name = model.graph.node[-1].output[0] = "logits"

    return change


def _float_input(onnx: Any, model: Any) -> None:
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT


def _fixed_size(onnx: Any, model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 64


def _dynamic_batch(onnx: Any, model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"


def _planes_first(onnx: Any, model: Any) -> None:
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[1].dim_value, dims[3].dim_param = 3, "W"
    model.graph.node[1].attribute[0].ints[:] = [0, 1, 2, 3]


def _two_outputs(onnx: Any, model: Any) -> None:
    model.graph.output.append(onnx.helper.make_tensor_value_info("cells", onnx.TensorProto.FLOAT, None))


def _double_output(onnx: Any, model: Any) -> None:
    model.graph.node[-1].output[0] = "single"
    model.graph.node.append(onnx.helper.make_node("Cast", ["single"], ["maps"], to=onnx.TensorProto.DOUBLE))
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE


def _three_classes(onnx: Any, model: Any) -> None:
    model.graph.initializer[1].CopyFrom(
        onnx.helper.make_tensor("gains", onnx.TensorProto.FLOAT, [1, 3, 1, 1], [1.0, 1.0, 1.0])
    )
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_rename("input"), r"expected one input 'image', got \['picture'\]"),
        (_rename("output"), r"expected one output 'maps', got \['logits'\]"),
        (_two_outputs, r"expected one output 'maps', got \['maps', 'cells'\]"),
        (_float_input, r"input 'image' must be tensor\(uint8\) \(1, any, any, 3\), is tensor\(float\)"),
        (_fixed_size, r"must be tensor\(uint8\) \(1, any, any, 3\), is tensor\(uint8\) \(1, 64, any, 3\)"),
        (_dynamic_batch, r"is tensor\(uint8\) \(any, any, any, 3\)"),
        (_planes_first, r"is tensor\(uint8\) \(1, 3, any, any\)"),
        (_double_output, r"output 'maps' must be tensor\(float\) \(1, 1, any, any\), is tensor\(double\)"),
        (_three_classes, r"output 'maps' must be .* is tensor\(float\) \(1, 3, any, any\)"),
    ],
)
def test_a_wrong_signature_is_refused(tmp_path: Path, change: Change, message: str) -> None:
    with pytest.raises(ModelRefused, match=message):
        load_changed(tmp_path, change)


def _unknown_operator(onnx: Any, model: Any) -> None:
    model.graph.node[-1].op_type = "Mull"


def _broken_graph(onnx: Any, model: Any) -> None:
    model.graph.node[-1].input[0] = "nowhere"


def _new_opset(onnx: Any, model: Any) -> None:
    model.opset_import[0].version = 999


@pytest.mark.parametrize("change", [_unknown_operator, _broken_graph, _new_opset])
def test_what_onnxruntime_cannot_load_is_refused(tmp_path: Path, change: Change) -> None:
    with pytest.raises(ModelRefused, match=r"darkness/1: onnxruntime .* cannot load model\.onnx"):
        load_changed(tmp_path, change)


@pytest.mark.parametrize("data", [b"", b"not an onnx file at all", b"\x3a\x00"])
def test_what_is_no_model_is_refused(tmp_path: Path, data: bytes) -> None:
    write_model_folder(tmp_path, onnx_bytes=data)
    with pytest.raises(ModelRefused, match="darkness/1"):
        load(tmp_path)


def test_every_cut_of_the_file_is_refused(tmp_path: Path) -> None:
    whole = darkness_onnx()
    for end in range(0, len(whole), 7):
        write_model_folder(tmp_path, name=f"cut-{end}", onnx_bytes=whole[:end])
        with pytest.raises(ModelRefused):
            load(tmp_path, f"cut-{end}")


def _smaller_maps(onnx: Any, model: Any) -> None:
    model.graph.node[5].attribute[1].ints[:] = [8, 8]  # strides of the pool


def test_maps_of_another_stride_are_refused_by_the_parity_check(tmp_path: Path) -> None:
    with pytest.raises(
        ModelRefused, match=r"parity/0\.png: expected score maps float32 \(1, 1, 16, 16\), got .* 8, 8\)"
    ):
        load_changed(tmp_path, _smaller_maps)


# --- faults at run time: fine on the parity picture, not on another one -----------------------------------


def _nan_on_black(onnx: Any, model: Any) -> None:
    """Multiplies by max / max of the picture: 1, but 0 / 0 on a wholly black one."""
    model.graph.node[-1].output[0] = "plain"
    for node in (
        onnx.helper.make_node("ReduceMax", ["grey"], ["brightest"], keepdims=0),
        onnx.helper.make_node("Div", ["brightest", "brightest"], ["one"]),
        onnx.helper.make_node("Mul", ["plain", "one"], ["maps"]),
    ):
        model.graph.node.append(node)


def _doubled(onnx: Any, model: Any) -> None:
    model.graph.node[-1].output[0] = "plain"
    model.graph.node.append(onnx.helper.make_node("Add", ["plain", "plain"], ["maps"]))


def _fails_on_black(onnx: Any, model: Any) -> None:
    """Looks 255 - darkest grey up in a table of 255 zeros: out of bounds where a pixel is black."""
    model.graph.node[-1].output[0] = "plain"
    model.graph.initializer.append(onnx.helper.make_tensor("table", onnx.TensorProto.FLOAT, [255], [0.0] * 255))
    for node in (
        onnx.helper.make_node("ReduceMax", ["inverse"], ["darkest"], keepdims=0),
        onnx.helper.make_node("Cast", ["darkest"], ["index"], to=onnx.TensorProto.INT64),
        onnx.helper.make_node("Gather", ["table", "index"], ["zero"]),
        onnx.helper.make_node("Add", ["plain", "zero"], ["maps"]),
    ):
        model.graph.node.append(node)


def test_a_score_that_is_no_number_is_a_fault_and_the_next_part_goes_well(tmp_path: Path) -> None:
    detector = load_changed(tmp_path, _nan_on_black)
    with pytest.raises(DetectorFault, match="nan"):
        detector.detect(picture(64, 64, (0, 0, 64, 64)))
    assert detector.detect(picture(64, 64)).score == 0.0


def test_a_score_above_one_is_a_fault(tmp_path: Path) -> None:
    grey = picture(40, 56, grey=200)
    grey[:] = 200
    detector = load_changed(tmp_path, _doubled, parity_image=grey, card={"parity": [_doubled_scores()]})
    with pytest.raises(DetectorFault, match=r"to 2\.0"):
        detector.detect(picture(64, 64, (0, 0, 64, 64)))


def _doubled_scores() -> dict[str, Any]:
    return {"image": "parity/0.png", "scores": {"dark": 2 * 55 / 255}, "tolerance": 0.005}


def test_a_failure_of_onnxruntime_is_a_fault_and_the_next_part_goes_well(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    detector = load_changed(tmp_path, _fails_on_black)
    with pytest.raises(DetectorFault, match=r"darkness/1 failed on a 128 x 96 tensor: .*idx=255"):
        detector.detect(picture(96, 128, (0, 0, 9, 9)))
    assert detector.detect(picture(64, 64)).score == 0.0
    assert capfd.readouterr().err == ""  # said once, by the exception


def test_too_large_a_picture_is_a_fault_of_the_picture(tmp_path: Path) -> None:
    write_model_folder(tmp_path, max_pixels=64 * 64)
    detector = load(tmp_path)
    with pytest.raises(ImageFault, match="crop the part closer"):
        detector.detect(picture(96, 64))


class _Interrupted:
    def run(self, *_: Any) -> Any:
        raise KeyboardInterrupt


class _Broken:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def run(self, *_: Any) -> Any:
        raise self.error


def test_an_interrupt_and_a_bug_of_ours_pass_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model_folder(tmp_path)
    detector = load(tmp_path)
    monkeypatch.setattr(detector, "_session", _Interrupted())
    with pytest.raises(KeyboardInterrupt):
        detector.detect(picture(64, 64))
    monkeypatch.setattr(detector, "_session", _Broken(TypeError("ours")))
    with pytest.raises(TypeError):
        detector.detect(picture(64, 64))
    monkeypatch.setattr(detector, "_session", _Broken(MemoryError()))
    with pytest.raises(DetectorFault, match="MemoryError"):
        detector.detect(picture(64, 64))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts file handles through /proc")
def test_loading_leaves_no_file_and_no_thread_behind(tmp_path: Path) -> None:
    write_model_folder(tmp_path)
    load(tmp_path)
    before = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
    for _ in range(20):
        load(tmp_path, threads=2).detect(picture(64, 64))
    assert (len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))) == before
