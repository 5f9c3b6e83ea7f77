"""The manifest of several workers that train on Kubernetes, as far as it can be tried without a cluster."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
import yaml
from conftest import ROOT

from dogcat.core import flags


@pytest.fixture(scope="module")
def manifests():
    return {one["kind"]: one for one in yaml.safe_load_all((ROOT / "examples/kubernetes/train.yaml").read_text())}


@pytest.mark.parametrize("begun", [False, True])
def test_workers_of_a_kubernetes_job_find_each_other_and_go_on(manifests, tmp_path, begun):
    service, job = manifests["Service"], manifests["Job"]
    pod = job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    # What Kubernetes makes a pod's name of.
    assert pod["subdomain"] == service["metadata"]["name"] and service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    names = [f"{job['metadata']['name']}-{index}.{pod['subdomain']}" for index in range(job["spec"]["completions"])]

    stub = tmp_path / "dogcat"
    stub.write_text('#!/bin/sh\necho "$TF_CONFIG"\nfor word; do echo "$word"; done\n')
    stub.chmod(0o755)
    if begun:
        (tmp_path / "latest").symlink_to("run")
        (tmp_path / "run").touch()
    given = {one["name"]: one["value"] for one in container["env"]}
    variables = {
        **given,
        "RUNS": str(tmp_path),
        "JOB_COMPLETION_INDEX": "1",
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }
    done = subprocess.run(container["command"], env=variables, capture_output=True, text=True, check=True)
    config, end = json.JSONDecoder().raw_decode(done.stdout)
    port = container["ports"][0]["containerPort"]
    assert config == {
        "cluster": {"worker": [f"{name}:{port}" for name in names]},
        "task": {"type": "worker", "index": 1},
    }
    command, strategy, *others = done.stdout[end:].split()
    assert (command, strategy) == ("train", "--strategy=multi_worker")
    assert f"--runs={tmp_path}" in others and ("--resume" in others) == begun


def test_a_kubernetes_job_begins_again_after_a_stop_and_not_after_bad_input(manifests):
    spec = manifests["Job"]["spec"]
    assert spec["completionMode"] == "Indexed" and spec["parallelism"] == spec["completions"]
    rules = spec["podFailurePolicy"]["rules"]
    actions = {tuple(rule["onExitCodes"]["values"]): rule["action"] for rule in rules if "onExitCodes" in rule}
    assert actions == {(flags.EXIT_TERMINATED,): "Ignore", (flags.EXIT_BAD_INPUT,): "FailJob"}
