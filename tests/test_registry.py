"""Is a model folder that is not what its card says refused, with fact and remedy?"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import station.registry as registry
from station.core.errors import ModelRefused
from station.onnx_file import check_onnx
from station.registry import Listed, ModelRegistry, VerifiedModel
from tests.detector.builders import darkness_onnx, write_model_folder


def test_a_whole_model_opens_with_its_bytes(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path, classes=("dark", "dent"))
    model = ModelRegistry(tmp_path).open("darkness/1")
    assert model.onnx_bytes == (folder / "model.onnx").read_bytes()
    assert model.folder == folder
    assert model.card.head.classes == ("dark", "dent")
    assert model.card.ref.sha256 == hashlib.sha256(model.onnx_bytes).hexdigest()
    assert str(model.card.ref) == "darkness/1"
    assert "onnx_bytes" not in repr(model)  # they stay out of logs


def test_list_shows_good_and_refused_in_order(tmp_path: Path) -> None:
    for version in ("10", "9", "2-beta"):
        write_model_folder(tmp_path, version=version)
    write_model_folder(tmp_path, name="another")
    (tmp_path / "darkness" / "9" / "model.onnx").write_bytes(b"")
    (tmp_path / "README.md").write_text("not a model")
    (tmp_path / ".git" / "x").mkdir(parents=True)
    found = ModelRegistry(tmp_path).list()
    names = [(f.name, f.version) for f in found]
    assert names == [("another", "1"), ("darkness", "9"), ("darkness", "10"), ("darkness", "2-beta")]
    assert [f.card is None for f in found] == [False, True, False, False]
    assert "sha256" in (found[1].refused or "")


def test_list_names_folders_that_can_be_no_model(tmp_path: Path) -> None:
    (tmp_path / "Bad Name" / "1").mkdir(parents=True)
    (found,) = ModelRegistry(tmp_path).list()
    assert found.refused is not None
    assert "no model name" in found.refused


def test_no_folder_at_all_is_an_empty_list(tmp_path: Path) -> None:
    models = ModelRegistry(tmp_path / "none")
    assert models.list() == ()
    with pytest.raises(ModelRefused, match="there: none"):
        models.open("darkness/1")


def test_an_unknown_model_names_those_there(tmp_path: Path) -> None:
    write_model_folder(tmp_path)
    with pytest.raises(ModelRefused, match="there: darkness/1"):
        ModelRegistry(tmp_path).open("darkness/2")


@pytest.mark.parametrize(
    "model",
    [
        "",
        "darkness",
        "darkness/",
        "/1",
        "../darkness/1",
        "darkness/..",
        "darkness/../darkness/1",
        "darkness/1/",
        "./1",
        "/etc/passwd",
        "darkness/.hidden",
        "Darkness/1",
        "darkness\\1",
        "darkness/1\n",
        "darkness/1\0",
        "a" * 65 + "/1",
    ],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, model: str) -> None:
    write_model_folder(tmp_path)
    with pytest.raises(ModelRefused, match="no model name"):
        ModelRegistry(tmp_path).open(model)


@pytest.mark.parametrize("what", ["folder", "model.onnx", "card.toml"])
def test_links_out_of_the_folder_are_refused(tmp_path: Path, what: str) -> None:
    models = tmp_path / "models"
    elsewhere = write_model_folder(tmp_path / "elsewhere")
    if what == "folder":
        (models / "darkness").mkdir(parents=True)
        (models / "darkness" / "1").symlink_to(elsewhere)
    else:
        folder = write_model_folder(models)
        (folder / what).unlink()
        (folder / what).symlink_to(elsewhere / what)
    with pytest.raises(ModelRefused, match="out of"):
        ModelRegistry(models).open("darkness/1")


def test_a_wrong_sha256_is_refused(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path)
    data = bytearray((folder / "model.onnx").read_bytes())
    data[-1] ^= 1
    (folder / "model.onnx").write_bytes(data)
    with pytest.raises(ModelRefused, match=r"darkness/1: model\.onnx has sha256 .* the card says .* copy"):
        ModelRegistry(tmp_path).open("darkness/1")


def test_unverified_bytes_make_no_model(tmp_path: Path) -> None:
    write_model_folder(tmp_path)
    model = ModelRegistry(tmp_path).open("darkness/1")
    with pytest.raises(ModelRefused, match="sha256"):
        VerifiedModel(model.card, model.onnx_bytes + b" ", model.folder)


@pytest.mark.parametrize("gone", ["model.onnx", "card.toml"])
def test_missing_files_are_refused(tmp_path: Path, gone: str) -> None:
    folder = write_model_folder(tmp_path)
    (folder / gone).unlink()
    with pytest.raises(ModelRefused, match=f"{gone} is not there"):
        ModelRegistry(tmp_path).open("darkness/1")
    (folder / gone).mkdir()
    with pytest.raises(ModelRefused, match="no plain file"):
        ModelRegistry(tmp_path).open("darkness/1")


def test_a_huge_file_is_refused_before_it_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_model_folder(tmp_path)
    size = (folder / "model.onnx").stat().st_size
    monkeypatch.setattr(registry, "MAX_MODEL_BYTES", size)
    ModelRegistry(tmp_path).open("darkness/1")
    monkeypatch.setattr(registry, "MAX_MODEL_BYTES", size - 1)
    with pytest.raises(ModelRefused, match="more than"):
        ModelRegistry(tmp_path).open("darkness/1")


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"name": "other"}, "card of other/1; folder and card must agree"),
        ({"version": "2"}, "card of darkness/2"),
        ({"sha256": "abc"}, "sha256"),
        ({"sha256": None}, "sha256: Field required"),
        ({"surprise": 1}, "surprise: Extra inputs"),
        ({"head.surprise": 1}, "head.surprise: Extra inputs"),
        ({"input.surprise": 1}, "input.surprise: Extra inputs"),
        ({"head.kind": "boxes"}, "head.kind"),
        ({"head.classes": []}, "head.classes"),
        ({"head.classes": ["dark", "dark"]}, "share a name"),
        ({"head.classes": ["good"]}, "'ok' or 'good'"),
        ({"head.classes": ["dent"]}, "a score for each of"),
        ({"head.stride": 5}, "no multiple of head.stride"),
        ({"head.stride": 0}, "head.stride"),
        ({"input.padding": "wrap"}, "input.padding"),
        ({"input.colour": "rgb"}, "input.colour"),
        ({"input.max_pixels": 0}, "input.max_pixels"),
        ({"input.resize_long": -1}, "input.resize_long"),
        ({"floor": 0.0}, "floor"),
        ({"floor": 1.0}, "floor"),
        ({"created": "yesterday"}, "created"),
        ({"created": "2026-11-21T00:00:00"}, "created"),
        ({"parity": []}, "parity"),
        ({"parity": [{"image": "p.jpg", "scores": {"dark": 0.1}, "tolerance": 0.1}]}, "image"),
        ({"parity": [{"image": "p.png", "scores": {"dark": 2.0}, "tolerance": 0.1}]}, "scores"),
        ({"parity": [{"image": "p.png", "scores": {"dark": 0.1}, "tolerance": 1.0}]}, "tolerance"),
    ],
)
def test_card_faults_are_named(tmp_path: Path, card: dict[str, Any], message: str) -> None:
    write_model_folder(tmp_path, card=card)
    with pytest.raises(ModelRefused) as refused:
        ModelRegistry(tmp_path).open("darkness/1")
    assert message in str(refused.value)


def test_training_and_metrics_are_free(tmp_path: Path) -> None:
    write_model_folder(tmp_path, card={"training": {"anything": [1, {"deep": True}]}, "metrics": {"x": {"y": "z"}}})
    card = ModelRegistry(tmp_path).open("darkness/1").card
    assert card.training == {"anything": [1, {"deep": True}]}
    assert card.metrics == {"x": {"y": "z"}}


@pytest.mark.parametrize("text", [b"name = ", b"\xff\xfe", b"a = " + b"[" * 100_000, b"a = " + b"9" * 5000])
def test_a_card_that_is_no_toml_is_refused(tmp_path: Path, text: bytes) -> None:
    folder = write_model_folder(tmp_path)
    (folder / "card.toml").write_bytes(text)
    with pytest.raises(ModelRefused, match=r"card\.toml"):
        ModelRegistry(tmp_path).open("darkness/1")


def test_a_listed_model_has_a_card_or_a_reason() -> None:
    with pytest.raises(ValueError, match="either"):
        Listed("a", "1")


# --- the ONNX file itself -------------------------------------------------------------------------------


def _outside(onnx: Any, tensor: Any) -> None:
    tensor.ClearField("raw_data")
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "weights.bin"


def _external_initializer(onnx: Any, model: Any) -> None:
    _outside(onnx, model.graph.initializer[0])


def _external_constant(onnx: Any, model: Any) -> None:
    tensor = onnx.helper.make_tensor("c", onnx.TensorProto.FLOAT, [1], [1.0])
    _outside(onnx, tensor)
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["unused"], value=tensor))


def _external_in_branch(onnx: Any, model: Any) -> None:
    tensor = onnx.helper.make_tensor("c", onnx.TensorProto.FLOAT, [1], [1.0])
    _outside(onnx, tensor)
    branch = onnx.helper.make_graph([], "branch", [], [], [tensor])
    model.graph.node.append(onnx.helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch))


def _external_sparse(onnx: Any, model: Any) -> None:
    sparse = model.graph.sparse_initializer.add()
    _outside(onnx, sparse.values)


def _external_in_function(onnx: Any, model: Any) -> None:
    tensor = onnx.helper.make_tensor("c", onnx.TensorProto.FLOAT, [1], [1.0])
    _outside(onnx, tensor)
    node = onnx.helper.make_node("Constant", [], ["y"], value=tensor)
    model.functions.append(onnx.helper.make_function("own", "F", [], ["y"], [node], []))


def _external_in_training(onnx: Any, model: Any) -> None:
    _outside(onnx, model.training_info.add().initialization.initializer.add())


@pytest.mark.parametrize(
    "change",
    [
        _external_initializer,
        _external_constant,
        _external_in_branch,
        _external_sparse,
        _external_in_function,
        _external_in_training,
    ],
)
def test_weights_in_other_files_are_refused(tmp_path: Path, change: Any) -> None:
    write_model_folder(tmp_path, onnx_bytes=darkness_onnx(change=change))
    with pytest.raises(ModelRefused, match="weights in other files"):
        ModelRegistry(tmp_path).open("darkness/1")


def test_a_tensor_marked_external_without_a_place_is_refused() -> None:
    def change(onnx: Any, model: Any) -> None:
        model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL

    with pytest.raises(ModelRefused, match="weights in other files"):
        check_onnx(darkness_onnx(change=change), "darkness/1")


def test_a_place_outside_is_refused_even_where_the_mark_is_missing() -> None:
    def change(onnx: Any, model: Any) -> None:
        entry = model.graph.initializer[0].external_data.add()
        entry.key, entry.value = "location", "weights.bin"

    with pytest.raises(ModelRefused, match="weights in other files"):
        check_onnx(darkness_onnx(change=change), "darkness/1")


def test_foreign_operators_are_refused_also_in_branches() -> None:
    def change(onnx: Any, model: Any) -> None:
        node = onnx.helper.make_node("Odd", ["x"], ["y"], domain="com.example")
        branch = onnx.helper.make_graph([node], "branch", [], [])
        model.graph.node.append(onnx.helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch))

    with pytest.raises(ModelRefused, match=r"operators of com\.example"):
        check_onnx(darkness_onnx(change=change), "darkness/1")


def test_own_functions_and_onnxruntimes_operators_are_taken() -> None:
    def change(onnx: Any, model: Any) -> None:
        inner = onnx.helper.make_node("Neg", ["x"], ["y"])
        model.functions.append(onnx.helper.make_function("own", "F", ["x"], ["y"], [inner], []))
        model.graph.node.append(onnx.helper.make_node("F", ["image"], ["a"], domain="own"))
        model.graph.node.append(onnx.helper.make_node("Gelu", ["a"], ["b"], domain="com.microsoft"))

    check_onnx(darkness_onnx(change=change), "darkness/1")


def test_the_ort_format_is_refused() -> None:
    with pytest.raises(ModelRefused, match=r"\.ort format"):
        check_onnx(b"\x1c\0\0\0ORTM" + bytes(100), "darkness/1")


def test_field_numbers_that_other_readers_take_for_smaller_ones_are_refused() -> None:
    graph = b"\x0a\x00"
    check_onnx(b"\x3a\x02" + graph, "m/1")  # field 7: one graph with one empty node
    key = (7 << 3 | 2) | 1 << 33
    long = bytes(
        [key & 0x7F | 0x80, key >> 7 & 0x7F | 0x80, key >> 14 & 0x7F | 0x80, key >> 21 & 0x7F | 0x80, key >> 28]
    )
    with pytest.raises(ModelRefused, match="wrong field"):
        check_onnx(b"\x3a\x02" + graph + long + b"\x02" + graph, "m/1")


def test_two_graphs_or_none_are_refused() -> None:
    with pytest.raises(ModelRefused, match="0 graphs"):
        check_onnx(b"", "m/1")
    with pytest.raises(ModelRefused, match="2 graphs"):
        check_onnx(b"\x3a\x00\x3a\x00", "m/1")


def test_nesting_without_end_is_refused() -> None:
    def length(size: int) -> bytes:
        out = bytearray()
        while size > 0x7F:
            out.append(size & 0x7F | 0x80)
            size >>= 7
        return bytes(out) + bytes([size])

    data = b""
    for level in range(600):  # graph > node > attribute > graph > ...
        data = (b"\x32", b"\x2a", b"\x0a")[level % 3] + length(len(data)) + data
    with pytest.raises(ModelRefused, match="no whole ONNX file"):
        check_onnx(b"\x3a" + length(len(data)) + data, "m/1")


def test_every_cut_of_a_model_is_refused() -> None:
    data = darkness_onnx()
    refused = 0
    for end in range(len(data)):
        try:
            check_onnx(data[:end], "darkness/1")
        except ModelRefused:
            refused += 1
    # A cut between two fields of the model itself is whole protobuf; sha256 and loading catch those.
    assert refused >= len(data) - 20


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_taken_or_refused_never_more(data: bytes) -> None:
    try:
        check_onnx(data, "m/1")
    except ModelRefused:
        return


@settings(deadline=None)
@given(st.data())
def test_damaged_models_are_taken_or_refused_never_more(data: st.DataObject) -> None:
    spoiled = bytearray(darkness_onnx())
    for _ in range(data.draw(st.integers(1, 4))):
        spoiled[data.draw(st.integers(0, len(spoiled) - 1))] = data.draw(st.integers(0, 255))
    try:
        check_onnx(bytes(spoiled), "m/1")
    except ModelRefused:
        return
