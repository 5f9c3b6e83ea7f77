from __future__ import annotations

import pytest

from dogcat.training.checkpoint import Progress
from dogcat.training.step_curve import StepCurve

STEPS, BATCH = 10, 4


def points_of(curve, progress, seconds, losses):
    """The points while an epoch takes steps of these mean losses."""
    curve.begin(progress)
    for loss in losses:
        progress.step += 1
        progress.loss_sum += loss * BATCH
        progress.seconds += seconds
        if point := curve.next_point(progress):
            yield point


def test_points_are_means_of_the_steps_between_and_bounded_in_number():
    curve = StepCurve(STEPS, BATCH, lambda step: step / 100)
    points = list(points_of(curve, Progress(epoch=3), 0.5, range(STEPS)))
    # Two seconds are four steps; the last steps of an epoch have a point, too.
    assert [point.step for point in points] == [34, 38, 40]
    assert [point.loss for point in points] == pytest.approx([1.5, 5.5, 8.5])
    assert [point.learning_rate for point in points] == pytest.approx([0.33, 0.37, 0.39])
    assert [point.pictures_per_second for point in points] == pytest.approx([8, 8, 8])


def test_slow_steps_have_a_point_each_also_in_an_epoch_that_goes_on():
    curve = StepCurve(STEPS, BATCH, lambda step: 1.0)
    progress = Progress(epoch=0, step=7, loss_sum=1000.0, seconds=100.0)
    points = list(points_of(curve, progress, 5.0, [1, 2, 3]))
    assert [(point.step, point.loss) for point in points] == [(8, 1), (9, 2), (10, 3)]
