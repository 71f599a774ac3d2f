"""The copy of a GGUF that llama.cpp computes faster with: what changes in it, and what does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from jobs.ml import base_model, fast_gguf

WORDS = ["<s>", "sea", "Žluťoučký"]


def numbers(rows: int) -> np.ndarray:
    return np.random.default_rng(rows).normal(size=(rows, 64)).astype(np.float32)


def model(path: Path, matrix: Type = Type.Q4_1) -> Path:
    made = gguf.GGUFWriter(path, "llama")
    made.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_1)
    made.add_token_list(WORDS)
    made.add_token_scores([0.5, -1.0, 2.0])
    made.add_rope_freq_base(100000.0)
    made.add_tensor("blk.0.attn_q.weight", gguf.quantize(numbers(8), matrix), raw_dtype=matrix)
    made.add_tensor("token_embd.weight", gguf.quantize(numbers(3), Type.Q8_0), raw_dtype=Type.Q8_0)
    made.add_tensor("blk.0.attn_norm.weight", numbers(1)[0])
    made.write_header_to_file()
    made.write_kv_data_to_file()
    made.write_tensors_to_file()
    made.close()
    return path


def opened(path: Path) -> tuple[dict, dict]:
    """Metadata and tensors by name."""
    reader = gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    return fields, {tensor.name: tensor for tensor in reader.tensors}


def test_q4_1_becomes_q8_0_and_everything_else_stays_as_it_is(tmp_path: Path) -> None:
    assert fast_gguf.write(model(tmp_path / "model.gguf"), tmp_path / "fast.gguf")
    (before, given), (after, made) = opened(tmp_path / "model.gguf"), opened(tmp_path / "fast.gguf")
    assert after == {**before, "general.file_type": int(gguf.LlamaFileType.MOSTLY_Q8_0)}
    assert after["tokenizer.ggml.tokens"] == WORDS
    assert list(made) == list(given)
    matrix, was = made["blk.0.attn_q.weight"], given["blk.0.attn_q.weight"]
    assert (matrix.tensor_type, list(matrix.shape)) == (Type.Q8_0, list(was.shape))
    for name in ("token_embd.weight", "blk.0.attn_norm.weight"):
        assert made[name].tensor_type == given[name].tensor_type
        assert np.array_equal(made[name].data, given[name].data)
    old, new = (gguf.dequantize(tensor.data, tensor.tensor_type).reshape(-1, 32) for tensor in (was, matrix))
    step = np.abs(old).max(axis=1, keepdims=True) / 127  # of each block
    assert (np.abs(new - old) <= step * 0.57).all()  # half a step, and the step itself is rounded to 16 bits
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fast.gguf", "model.gguf"]


def test_there_is_none_of_a_model_without_q4_1_or_of_a_large_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not fast_gguf.write(model(tmp_path / "eight.gguf", Type.Q8_0), tmp_path / "fast.gguf")
    large = model(tmp_path / "large.gguf")
    monkeypatch.setattr(fast_gguf, "LARGEST", large.stat().st_size - 1)
    assert not fast_gguf.write(large, tmp_path / "fast.gguf")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["eight.gguf", "large.gguf"]


def test_what_fails_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    source = model(tmp_path / "model.gguf")
    monkeypatch.setattr(gguf.GGUFWriter, "write_tensors_to_file", full)
    with pytest.raises(OSError, match="No space"):
        fast_gguf.write(source, tmp_path / "fast.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]


@pytest.fixture
def older(toy_base: Path, tmp_path: Path) -> Path:
    """A folder prepared before there were faster copies."""
    folder = shutil.copytree(toy_base, tmp_path / "toy")
    model(folder / base_model.GIVEN)
    (folder / "studio.json").unlink()
    base_model.write_description(folder, name="toy", licence="")
    return folder


def test_preparing_an_older_folder_again_adds_the_faster_copy_and_nothing_else(older: Path) -> None:
    before = base_model.check(older)
    assert base_model.gguf_file(older).name == "model.gguf"
    described = base_model.prepare(older)
    assert base_model.check(older, thorough=True) == described
    assert set(described["files"]) - set(before["files"]) == {"fast.gguf"}
    assert {**described, "files": None} == {**before, "files": None}
    assert base_model.gguf_file(older).name == "fast.gguf"
    made = (older / "fast.gguf").stat().st_mtime_ns
    assert base_model.prepare(older) == described
    assert (older / "fast.gguf").stat().st_mtime_ns == made


def test_a_faster_copy_that_is_damaged_is_noticed(older: Path) -> None:
    base_model.prepare(older)
    with (older / "fast.gguf").open("ab") as file:
        file.write(b"more")
    with pytest.raises(base_model.ModelMissing, match=r"damaged: fast\.gguf"):
        base_model.check(older)


def test_a_copy_that_is_there_but_not_described_yet_is_described(older: Path) -> None:
    """Whoever prepared it was stopped between the two."""
    fast_gguf.write(older / base_model.GIVEN, older / base_model.FAST)
    base_model.prepare(older)
    assert "fast.gguf" in base_model.check(older, thorough=True)["files"]
