from __future__ import annotations

import pytest

from dogcat.cleaning import survey_verdict
from dogcat.cleaning.survey import Survey, Unusable, Usable


def pictures(label, count, width=300, height=200, brightness=120.0, excluded=0):
    return [
        Usable(f"{label}.{number}.jpg", label, excluded, 9000, "JPEG", "RGB", 1, width, height, brightness)
        for number in range(count)
    ]


SOUND = pictures("cat", 40) + pictures("dog", 40)
BROKEN = Unusable("cat.x.jpg", "cat", 0, 0, "empty", "0 bytes")


@pytest.mark.parametrize(
    ("usable", "unusable", "said"),
    [
        (SOUND, [], "Ready to train: 80 pictures of 2 classes, all sound"),
        (SOUND, [BROKEN], "Ready to train; 1 unusable file"),
        (SOUND + pictures("cat", 3, width=63, height=60), [], "Ready to train; 3 very small pictures"),
        (SOUND + pictures("cat", 3, width=63, excluded=1), [], "Ready to train: 80 pictures of 2 classes, all sound"),
        (SOUND + pictures("owl", 3), [], "Ready to train; only 3 pictures of owl, 13 times as many cat as owl"),
        (
            SOUND
            + pictures("cat", 1, width=800)
            + pictures("dog", 2, brightness=3.0)
            + pictures("cat", 1, brightness=250.0),
            [],
            "Ready to train; 1 very long or tall picture, 2 nearly black pictures and 1 more",
        ),
        (SOUND[:40], [], "Not ready to train: all pictures are cat"),
        (pictures("", 9), [], "No classes: ready to predict, not to train"),
        (SOUND + pictures("", 2), [], "Ready to train; 2 pictures without a class"),
        (pictures("cat", 2) + pictures("dog", 2), [], "Ready to train; 2 classes with fewer than 20 pictures"),
    ],
)
def test_conclusions(usable, unusable, said):
    found = Survey(usable, unusable)
    judged = survey_verdict.of_survey(found)
    assert judged.headline == said and len(judged.notes) == len(set(judged.notes))
