from __future__ import annotations

import pytest

from dogcat.core.options import InputError
from dogcat.models import slurm


def variables(nodes="n[9-10],gpu", tasks="2(x2),1", rank="0", job="4001", **others):
    names = ("SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE", "SLURM_PROCID", "SLURM_JOB_ID")
    given = dict(zip(names, (nodes, tasks, rank, job)))
    return {name: value for name, value in {**given, **others}.items() if value is not None}


def test_ranks_fill_the_nodes_in_the_order_of_slurm():
    step = slurm.read_step(variables(rank="3", SLURMD_NODENAME="n10"))
    assert step.addresses == ["n9:12010", "n9:12011", "n10:12010", "n10:12011", "gpu:12010"]
    assert step.rank == 3


@pytest.mark.parametrize(
    ("nodes", "expanded"),
    [
        ("a", ["a"]),
        ("n[08-10,12]", ["n08", "n09", "n10", "n12"]),
        ("r[1-2]n[1,3]", ["r1n1", "r1n3", "r2n1", "r2n3"]),
        ("a-1.example.org,b[2]x", ["a-1.example.org", "b2x"]),
    ],
)
def test_lists_of_nodes(nodes, expanded):
    step = slurm.read_step(variables(nodes, f"1(x{len(expanded)})"))
    assert [address.rsplit(":", 1)[0] for address in step.addresses] == expanded


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        *[({"nodes": bad}, f"SLURM_STEP_NODELIST={bad}: is not nodes") for bad in ("", "n[1-", "n[x]", "n1,", "n]1")],
        ({"nodes": "n[1-4]"}, "SLURM_STEP_TASKS_PER_NODE=2(x2),1: is not counts for the 4 nodes"),
        ({"tasks": "two"}, "SLURM_STEP_TASKS_PER_NODE=two: is not counts such as 2(x3),1"),
        ({"tasks": None}, "SLURM_STEP_TASKS_PER_NODE is not set"),
        ({"rank": "5"}, "SLURM_PROCID=5: is not a rank below 5"),
        ({"rank": "-1"}, "SLURM_PROCID=-1: is not a whole number"),
        ({"job": "mine"}, "SLURM_JOB_ID=mine: is not a whole number"),
        ({"rank": "1", "SLURMD_NODENAME": "n10"}, "SLURMD_NODENAME=n10: rank 1 would be on n9"),
    ],
)
def test_bad_variables_are_one_line(changes, said):
    with pytest.raises(InputError) as caught:
        slurm.read_step(variables(**changes))
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)
