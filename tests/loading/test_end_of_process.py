"""A process ends, whatever TensorFlow's threads ask Python for meanwhile."""

from __future__ import annotations

import subprocess
import sys

from conftest import ROOT, environment

# A pass that nobody goes on with, kept by a cycle as an error's frames keep theirs; its thread waits in Python.
GIVEN_UP = """
import itertools, time
from dogcat.core import runtime
runtime.prepare()
import numpy as np
from dogcat.loading import pipeline

def batches():
    for number in itertools.count():
        time.sleep(0.3)
        yield np.zeros((2, 8, 8, 3), np.uint8)

class Kept:
    def __init__(self):
        self.itself = self
        self.elements = iter(pipeline.prediction_dataset(batches, 8, 2))
        next(self.elements)

Kept()
"""


def test_a_pass_that_was_given_up_does_not_keep_the_process():
    done = subprocess.run(
        [sys.executable, "-c", GIVEN_UP], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, "")
