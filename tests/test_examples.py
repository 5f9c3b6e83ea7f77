"""The examples: scripts for Slurm run with stand-ins for its two commands, manifests of Kubernetes name real flags."""

from __future__ import annotations

import ast
import contextlib
import importlib
import os
import signal
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT, contents, draw, environment, make

from dogcat.core import flags
from dogcat.core.commands import COMMANDS
from dogcat.dataset.options import ShardOptions

EXAMPLES = ROOT / "examples"

# Runs what is wrapped for each number of the array, as Slurm does on its nodes.
SBATCH = """#!/usr/bin/env bash
set -euo pipefail
array=0-0
for word in "$@"; do
    case $word in --wrap=*) wrapped=${word#--wrap=} ;; --array=*) array=${word#--array=} ;; esac
done
for number in $(seq "${array%-*}" "${array#*-}"); do
    SLURM_ARRAY_TASK_ID=$number bash -c "$wrapped" >&2
done
echo 1
"""
SRUN = '#!/usr/bin/env bash\nexec "$@"\n'


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    return draw(folder, *(f"{name}.{number}.jpg" for name in ("cat", "dog") for number in range(10)))


@pytest.fixture
def with_slurm(tmp_path):
    """The environment of a login node."""
    folder = tmp_path / "bin"
    folder.mkdir()
    programs = {"sbatch": SBATCH, "srun": SRUN}
    for name, module in (("dogcat", "dogcat"), ("dask", "dask")):
        programs[name] = f'#!/usr/bin/env bash\nexec {sys.executable} -m {module} "$@"\n'
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return environment(PATH=f"{folder}{os.pathsep}{os.environ['PATH']}", DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT="5s")


def bash(script, *arguments, cwd, env):
    line = ["bash", script, *map(str, arguments)]
    with subprocess.Popen(
        line, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        try:
            out, _ = process.communicate(timeout=200)
        finally:
            # What the script has started and not ended.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, out


def test_an_array_of_slurm_makes_the_same_bytes(images, with_slurm, tmp_path):
    make(images, tmp_path / "expected", image_size=299)
    bash(EXAMPLES / "slurm" / "shards.sh", images, tmp_path / "out", 3, cwd=tmp_path, env=with_slurm)
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")


def test_a_dask_cluster_within_a_job_of_slurm_makes_the_same_bytes(images, with_slurm, tmp_path):
    make(images, tmp_path / "expected", image_size=299)
    job = {**with_slurm, "SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "2", "DASK_SCHEDULER__HOST": "127.0.0.1"}
    flags = (f"--images={images}", f"--output={tmp_path / 'out'}")
    bash(EXAMPLES / "slurm" / "dask.sh", "make-tfrecords", *flags, cwd=tmp_path, env=job)
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")
    assert not list(tmp_path.glob("scheduler-*"))


@pytest.mark.parametrize("name", ["dask.yaml", "shards.yaml"])
def test_manifests_parse_and_their_commands_have_the_flags(name):
    path, commands = EXAMPLES / "kubernetes" / name, 0
    for manifest in yaml.safe_load_all(path.read_text()):
        assert manifest["apiVersion"] in ("v1", "apps/v1", "batch/v1")
        if manifest["kind"] == "Service":
            continue
        pod = manifest["spec"]["template"]["spec"]
        volumes = {volume["name"] for volume in pod.get("volumes", [])}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes
            words = container["command"]
            if words[0] == "sh":
                words = words[-1].replace("$JOB_COMPLETION_INDEX", "63").split()
            if words[0] == "dogcat":
                options = flags.parse(ShardOptions, words[2:])
                assert words[1] in COMMANDS and (options.only == "plan") == (options.images == "/pictures/train")
                parts = manifest["spec"].get("completions")
                assert parts is None or options.part == (parts - 1, parts)
                commands += 1
            else:
                importlib.import_module(f"distributed.cli.dask_{words[1]}")
    assert commands or name == "dask.yaml"


def test_the_beam_example_uses_what_there_is():
    """Beam itself is not installed for tests: with what it needs it is larger than all but TensorFlow."""
    used = 0
    for node in ast.walk(ast.parse((EXAMPLES / "beam_shards.py").read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id.startswith("shard_"):
            assert hasattr(importlib.import_module(f"dogcat.dataset.{node.value.id}"), node.attr)
            used += 1
    assert used == 2


def test_a_model_of_ones_own_is_trained(images, tmp_path):
    done = subprocess.run(
        [sys.executable, EXAMPLES / "your_own_model.py", images, tmp_path],
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Epoch 2/2" in done.stdout and "validation: log loss " in done.stdout
    assert (tmp_path / "own.keras").is_file()
