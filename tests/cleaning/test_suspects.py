from __future__ import annotations

import dataclasses

import numpy as np

from dogcat.cleaning import suspects
from dogcat.cleaning.duplicates import Copies
from dogcat.cleaning.fingerprints import Fingerprint
from dogcat.cleaning.suspects import Evidence
from dogcat.dataset.encoding import Rejection


def prints(*sizes):
    return [Fingerprint(f"{n}.jpg", *size, 50.0, np.zeros(144, bool)) for n, size in enumerate(sizes)]


def evidence(**known) -> Evidence:
    plain = Evidence(
        prints(*[(100, 100)] * 4), np.array([0, 0, 1, 1]), ["cat", "dog"], np.zeros(4, bool), [], np.zeros(4)
    )
    return dataclasses.replace(plain, **known)


def test_nothing_suspicious():
    assert suspects.find(evidence(), []) == []


def test_of_copies_with_one_label_the_largest_stays():
    known = evidence(prints=prints((50, 50), (90, 90), (60, 60), (9, 90)), labels=np.zeros(4, int))
    found = suspects.find(dataclasses.replace(known, copies=[Copies([0, 1], [])]), [])
    assert [(one.path, one.kind, one.suggestion, one.alike) for one in found] == [
        ("0.jpg", "duplicate", "drop", ["1.jpg"]),
        ("3.jpg", "tiny", "drop", []),
    ]
    assert found[0].reason == "nearly equal to 1.jpg" and not found[0].is_certain


def test_equal_copies_with_different_labels_are_certain_and_first():
    known = evidence(copies=[Copies([1, 2], [[1, 2]])], in_validation=np.array([0, 1, 0, 0], bool))
    found = suspects.find(known, [Rejection("9.jpg", "empty", "0 bytes")])
    assert [(one.path, one.score, one.is_certain) for one in found] == [
        ("1.jpg", 1.0, True),
        ("2.jpg", 1.0, True),
        ("9.jpg", 0.1, True),
    ]
    assert found[0].reason == (
        "equal pixel for pixel to 2.jpg, with different labels, on both sides of the border to validation"
    )


def test_of_equal_copies_with_one_label_none_is_certain_though_a_near_one_has_another():
    labels = np.array([0, 0, 1, 1])
    for equal, reason in (([0, 1], "nearly equal to 1.jpg and 1 more"), ([0, 2], "equal pixel for pixel to 2.jpg")):
        found = {
            one.path: one for one in suspects.find(evidence(labels=labels, copies=[Copies([0, 1, 2], [equal])]), [])
        }
        assert found["0.jpg"].reason == f"{reason}, with different labels"
        certain = equal == [0, 2]
        assert [found[f"{place}.jpg"].is_certain for place in equal] == [certain, certain]
        assert found["0.jpg"].score == (1.0 if certain else 0.95)
        assert sorted(found) == ["0.jpg", "1.jpg", "2.jpg"]


def test_each_picture_comes_once_for_its_strongest_reason():
    known = evidence(
        neither=np.array([0.8, 0.0, 0.1, 0.0]),
        far=np.array([0.7, 0.0, 0.1, 0.0]),
        mislabelled=np.array([0.9, 0.0, 0.9, 0.0]),
        held_out=np.array([[0.1, 0.9], [1, 0], [0.9, 0.1], [0, 1]]),
        similar=np.array([[2, 3], [0, 2], [0, 1], [0, 2]]),
    )
    found = suspects.find(known, [])
    assert [(one.path, one.kind, one.suggestion) for one in found] == [
        ("2.jpg", "wrong label", "look"),
        ("0.jpg", "neither", "look"),
    ]
    assert np.isclose(found[0].score, 0.81) and found[0].alike == ["0.jpg", "1.jpg"]
    assert (
        "also wrong label: held-out probability of dog 0.900, and 2 of the 2 most alike pictures are dog"
        in found[1].reason
    )
    assert not found[1].is_certain
    # A classifier that sees no pet either makes it certain.
    found = suspects.find(dataclasses.replace(known, pet_ranks=np.array([40, 0, 0, 0]), top_n=30), [])
    assert found[1].is_certain
    found = suspects.find(dataclasses.replace(known, far=np.zeros(4), pet_ranks=np.array([40, 0, 0, 0]), top_n=30), [])
    assert not found[1].is_certain and "best cat or dog is number 41 of ImageNet's classes" in found[1].reason


def of_many(pictures, **known) -> Evidence:
    """Evidence of so many pictures, sound but for what is given of the first ones."""
    nothing = {
        **{name: np.zeros(pictures) for name in ("neither", "far", "mislabelled")},
        "held_out": np.tile([0.9, 0.1], (pictures, 1)),
        "similar": np.zeros((pictures, 5), int),
    }
    for name, values in known.items():
        nothing[name][: len(values)] = values
    sizes = [(100, 100)] * pictures
    return Evidence(prints(*sizes), np.zeros(pictures, int), ["cat", "dog"], np.zeros(pictures, bool), [], **nothing)


def suggestions(evidence) -> dict[str, str]:
    return {one.path: one.suggestion for one in suspects.find(evidence, [])}


def test_a_change_is_suggested_from_scores_on_that_sound_pictures_do_not_have():
    scores = [0.95, 0.89, 0.51, 0.49]
    found = suggestions(of_many(120, neither=scores, far=scores))
    assert [found[f"{place}.jpg"] for place in range(4)] == ["drop", "look", "look", "probably fine"]
    # To fill the list, pictures are shown that nothing speaks against.
    assert len(found) == 15 and set(list(found.values())[4:]) == {"probably fine"}
    mislabelled = [0.999, 0.99, 0.51, 0.49]
    found = suspects.find(of_many(120, mislabelled=mislabelled), [])
    of_label = {one.path: (one.suggestion, one.looks_like) for one in found if one.kind == "wrong label"}
    assert [of_label[f"{place}.jpg"] for place in range(4)] == [
        ("relabel dog", "dog"),
        *[("look", "dog"), ("look", "dog"), ("probably fine", "dog")],
    ]


def test_among_few_pictures_distance_alone_suggests_nothing():
    few = of_many(60, neither=[0.999], far=[0.999])
    assert suggestions(few)["0.jpg"] == "look"
    # A classifier judges each picture by itself.
    with_classifier = dataclasses.replace(few, pet_ranks=np.array([40] + [0] * 59), top_n=30)
    [first, *_] = suspects.find(with_classifier, [])
    assert (first.suggestion, first.is_certain) == ("drop", True)


def test_what_is_fine_in_one_respect_is_still_dropped_for_another():
    known = of_many(120, neither=[0.3], far=[0.3])
    copies = dataclasses.replace(known, copies=[Copies([0, 1], [[0, 1]])])
    largest = [one._replace(width=200) if one.key == "1.jpg" else one for one in copies.prints]
    found = {one.path: one for one in suspects.find(dataclasses.replace(copies, prints=largest), [])}
    assert (found["0.jpg"].kind, found["0.jpg"].suggestion) == ("neither", "drop") and found["0.jpg"].changes
    assert "also duplicate" in found["0.jpg"].reason


def test_the_table():
    one = suspects.Suspect("a,b.jpg", "neither", 0.5, "far", "drop", False, [])
    assert suspects.as_csv([one]) == b'path,kind,score,rank,reason,suggestion\n"a,b.jpg",neither,0.500000,1,far,drop\n'
