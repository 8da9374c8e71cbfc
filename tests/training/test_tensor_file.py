"""Files of tensors: the library reads them, and they equal those that it writes."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from slm_tui.training.tensor_file import write_tensors

TENSORS = {
    "weights.b": torch.randn(3, 5),
    "weights.a": torch.randn(7, dtype=torch.float64),
    "half": torch.randn(2, 3).half(),
    "short": torch.randn(4).bfloat16(),
    "steps": torch.tensor(12, dtype=torch.int64),
    "ids": torch.arange(6, dtype=torch.int32).view(2, 3),
    "small": torch.arange(4, dtype=torch.int16),
    "codes": torch.tensor([-1, 0, 1], dtype=torch.int8),
    "bytes": torch.arange(9, dtype=torch.uint8),
    "mask": torch.tensor([True, False, True]),
    "empty": torch.empty(0, 4),
    'name "é" 東': torch.ones(1),
}


def test_the_library_reads_what_is_written(tmp_path: Path) -> None:
    write_tensors(TENSORS, tmp_path / "ours")
    read = load_file(tmp_path / "ours")
    assert read.keys() == TENSORS.keys()
    for name, one in TENSORS.items():
        assert read[name].dtype == one.dtype
        assert torch.equal(read[name], one)


@pytest.mark.parametrize("names", [["weights.b", "steps"], ["codes"], []])
def test_files_equal_those_of_the_library(names: list[str], tmp_path: Path) -> None:
    some = {name: TENSORS[name] for name in names}
    write_tensors(some, tmp_path / "ours")
    save_file(some, tmp_path / "theirs")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_a_transposed_tensor_is_written_in_its_order(tmp_path: Path) -> None:
    write_tensors({"it": TENSORS["weights.b"].t()}, tmp_path / "ours")
    assert torch.equal(load_file(tmp_path / "ours")["it"], TENSORS["weights.b"].t())


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "ours").write_text("mine")
    with pytest.raises(FileExistsError):
        write_tensors(TENSORS, tmp_path / "ours")
    assert (tmp_path / "ours").read_text() == "mine"
