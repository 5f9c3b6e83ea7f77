"""The workers of a step of Slurm, from the variables that srun sets.

TensorFlow's SlurmClusterResolver (2.15 and 2.21) sorts nodes as text, so that n10 comes before n9 and ranks get other
nodes than Slurm gives them; and it fails on nodes without GPUs.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import NamedTuple

from dogcat.core.options import InputError

_NODES, _TASKS, _RANK, _JOB = "SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE", "SLURM_PROCID", "SLURM_JOB_ID"
# Ports below those that Linux gives to outgoing connections; ten for each job, so that two of them may share a node.
_FIRST_PORT, _PORTS_OF_JOB, _JOBS = 12000, 10, 2000
# Each with the comma that ends it, which is one outside of brackets.
_PART_OF_LIST = re.compile(r"((?:[^][,]|\[[^][]*\])+)(?:,|$)")
_PART_OF_NAME = re.compile(r"\[([^][]*)\]|([^][]+)")
_NUMBERS = re.compile(r"(\d+)(?:-(\d+))?")
_COUNT = re.compile(r"(\d+)(?:\(x(\d+)\))?")


class Step(NamedTuple):
    """The workers of a step.

    Attributes:
        addresses: Host and port of each, by rank.
        rank: That of this process.
    """

    addresses: list[str]
    rank: int


def is_in_step(environment: Mapping[str, str]) -> bool:
    """Whether srun started the process that has these variables."""
    return _NODES in environment


def read_step(environment: Mapping[str, str]) -> Step:
    """Reads the workers from the variables that srun sets, for tasks that fill one node after the other.

    Raises:
        InputError: A variable is missing or cannot be, or tasks are spread over the nodes in another way.
    """
    nodes = _expand(environment)
    counts = _tasks_of_nodes(environment)
    if len(counts) != len(nodes):
        raise _bad(environment, _TASKS, f"counts for the {len(nodes)} nodes of {_NODES}={environment[_NODES]}")
    first_port = _FIRST_PORT + _number(environment, _JOB) % _JOBS * _PORTS_OF_JOB
    hosts = [(node, task) for node, count in zip(nodes, counts) for task in range(count)]
    rank = _number(environment, _RANK)
    if rank >= len(hosts):
        raise _bad(environment, _RANK, f"a rank below {len(hosts)}, the number of tasks in {_TASKS}")
    node, here = hosts[rank][0], environment.get("SLURMD_NODENAME")
    if here and here != node:
        raise InputError(
            f"SLURMD_NODENAME={here}: rank {rank} would be on {node} if tasks filled one node after the other; give "
            "srun --distribution=block"
        )
    return Step([f"{node}:{first_port + task}" for node, task in hosts], rank)


def _expand(environment: Mapping[str, str]) -> list[str]:
    """The nodes of a list such as `n[08-10,12],m3`, in its order."""
    listed = _value(environment, _NODES)
    nodes: list[str] = []
    parts = _PART_OF_LIST.findall(listed)
    if not parts or sum(map(len, parts)) + len(parts) - 1 != len(listed):
        raise _bad(environment, _NODES, "nodes such as n[1-4],m7")
    for part in parts:
        choices = []
        for brackets, plain in _PART_OF_NAME.findall(part):
            choices.append([plain] if plain else _numbers(environment, brackets))
        nodes += map("".join, itertools.product(*choices))
    return nodes


def _numbers(environment: Mapping[str, str], brackets: str) -> list[str]:
    """The numbers of `08-10,12`, with their zeros in front."""
    found = []
    for part in brackets.split(","):
        match = _NUMBERS.fullmatch(part)
        if not match:
            raise _bad(environment, _NODES, "nodes such as n[1-4],m7")
        first, last = match[1], match[2] or match[1]
        found += [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    return found


def _tasks_of_nodes(environment: Mapping[str, str]) -> list[int]:
    """The counts of `2(x3),1`: 2, 2, 2, 1."""
    counts: list[int] = []
    for part in _value(environment, _TASKS).split(","):
        match = _COUNT.fullmatch(part)
        if not match:
            raise _bad(environment, _TASKS, "counts such as 2(x3),1")
        counts += [int(match[1])] * int(match[2] or 1)
    return counts


def _number(environment: Mapping[str, str], name: str) -> int:
    value = _value(environment, name)
    if not re.fullmatch(r"[0-9]{1,18}", value):
        raise _bad(environment, name, "a whole number")
    return int(value)


def _value(environment: Mapping[str, str], name: str) -> str:
    if name not in environment:
        raise InputError(f"{name} is not set, which srun sets beside {_NODES}; start the command by srun")
    return environment[name]


def _bad(environment: Mapping[str, str], name: str, wanted: str) -> InputError:
    return InputError(f"{name}={environment[name]}: is not {wanted}, as srun sets it; start the command by srun")
