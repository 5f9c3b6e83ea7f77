"""Batches as PyTorch's tensors, with PyTorch itself."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys

import numpy as np
import pytest
import shard_files
from conftest import environment

import dogcat

needs_torch = pytest.mark.torch

# Trains by PyTorch's own means in two processes, and writes what each of them saw and learned.
IN_TWO_PROCESSES = """
import sys
import numpy as np
import torch
from torch import distributed, nn
import dogcat

folder, rank, output = sys.argv[1], int(sys.argv[2]), sys.argv[3]
distributed.init_process_group("gloo", init_method=f"file://{output}/meeting", rank=rank, world_size=2)
torch.manual_seed(0)
model = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Flatten(), nn.Linear(32 * 32 * 3, 2)))
optimizer = torch.optim.SGD(model.parameters(), 0.001)
split = dogcat.open_dataset(folder).split("train")
batches = split.torch(3, shuffle=True, seed=5, drop_remainder=True)
seen = []
for _ in range(2):
    passed = []
    for pictures, labels in batches:
        passed.append(pictures.numpy())
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(pictures / 255), labels).backward()
        optimizer.step()
    assert len(passed) == len(batches)
    seen.append(np.concatenate(passed))
in_order = split.torch(3)
alone = [pictures.numpy() for pictures, _ in in_order]
assert len(alone) == len(in_order)
weights = torch.cat([each.flatten() for each in model.parameters()]).detach().numpy()
np.savez(f"{output}/{rank}.npz", seen=seen, in_order=np.concatenate(alone), weights=weights)
distributed.destroy_process_group()
"""


@pytest.fixture(scope="module", params=["jpeg", "raw"])
def split(request, samples, tmp_path_factory):
    output = tmp_path_factory.mktemp("made") / "data"
    options = {"image_size": 32, "shards": 3, "workers": 1}
    return dogcat.make_dataset(samples / "train", output, encoding=request.param, **options).split("train")


@pytest.fixture(autouse=True)
def torch_if_needed(request):
    if request.node.get_closest_marker("torch") and not importlib.util.find_spec("torch"):
        pytest.skip("no PyTorch in this environment")


@needs_torch
def test_the_batches_are_those_of_numpy(split):
    import torch

    options = {"shuffle": True, "seed": 3, "augment": "strong", "drop_remainder": True}
    batches = split.torch(8, **options)
    arrays = list(split.numpy_batches(8, **options))
    assert isinstance(batches, torch.utils.data.IterableDataset) and len(batches) == len(arrays) == len(split) // 8
    first = list(torch.utils.data.DataLoader(batches, batch_size=None))
    for (pictures, labels), (pixels, numbers) in zip(first, arrays):
        assert pictures.dtype == torch.uint8 and labels.dtype == torch.int64
        assert pictures.is_contiguous(memory_format=torch.channels_last)
        assert np.array_equal(pictures.numpy(), pixels.transpose(0, 3, 1, 2)) and labels.tolist() == numbers.tolist()
    second = list(batches)
    assert any(not torch.equal(one[0], other[0]) for one, other in zip(first, second))
    with pytest.raises(TypeError):
        len(split.torch(8, repeat=True))


@needs_torch
@pytest.mark.parametrize("split", ["jpeg"], indirect=True)
def test_processes_share_each_pass(split, tmp_path):
    folder = split._folder
    running = [
        subprocess.Popen(
            [sys.executable, "-c", IN_TWO_PROCESSES, folder, str(rank), tmp_path],
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [process.communicate(timeout=300)[1] for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0, 0], said
    first, second = (np.load(tmp_path / f"{rank}.npz") for rank in range(2))
    assert np.array_equal(first["weights"], second["weights"])
    # Two passes in whole batches of six, three for each, in the order that one process has.
    alone = split.torch(6, shuffle=True, seed=5, drop_remainder=True)
    for passed in range(2):
        together = np.stack([of_both["seen"][passed].reshape(-1, 3, 3, 32, 32) for of_both in (first, second)], axis=1)
        expected = np.concatenate([pictures.numpy() for pictures, _ in alone])
        assert np.array_equal(together.reshape(expected.shape), expected)
    # A last batch that is not full, too: each picture once.
    everything = np.concatenate([first["in_order"], second["in_order"]])
    assert sorted(picture.tobytes() for picture in everything) == sorted(
        picture.transpose(2, 0, 1).tobytes() for picture, _, _ in split
    )


@needs_torch
def test_a_worker_of_a_data_loader_is_told(split):
    import torch

    loader = torch.utils.data.DataLoader(split.torch(8), batch_size=None, num_workers=1, timeout=60)
    with pytest.raises(RuntimeError, match=r"read in threads already: use DataLoader\(\.\.\., num_workers=0\)"):
        next(iter(loader))


@needs_torch
def test_a_damaged_record_is_named(split, tmp_path):
    folder = shutil.copytree(split._folder, tmp_path / "data")
    shard = shard_files.flip_bit(folder)
    with pytest.raises(dogcat.InputError, match=f"{shard} is damaged: record "):
        list(dogcat.open_dataset(folder).split("train").torch(8))


@needs_torch
def test_wrong_arguments_are_named(split):
    with pytest.raises(ValueError, match="batch_size is 0; it must be 1 or more"):
        split.torch(0)
    with pytest.raises(TypeError, match="shuffled"):
        split.torch(8, shuffled=True)


def test_without_pytorch_its_name_is_said(split, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "dogcat.library.torch_batches", raising=False)
    monkeypatch.delattr("dogcat.library.torch_batches", raising=False)
    with pytest.raises(ImportError, match="torch"):
        split.torch(8)
