from __future__ import annotations

import numpy as np
from sklearn.model_selection import StratifiedKFold

from dogcat.cleaning import label_errors, neighbours


def clusters(classes: int):
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), 60)
    features = generator.normal(size=(classes, 10))[labels] * 3 + generator.normal(size=(len(labels), 10))
    return features.astype(np.float32), labels, generator


def test_flipped_labels_come_first():
    for classes in (2, 4):
        features, labels, generator = clusters(classes)
        flipped = generator.choice(len(labels), 12, replace=False)
        given = labels.copy()
        given[flipped] = (given[flipped] + 1) % classes
        similar = neighbours.nearest(neighbours.normalised(features), label_errors.NEIGHBOURS).places
        held_out = label_errors.held_out_probabilities(features, given, 0)
        assert held_out.shape == (len(labels), classes)
        np.testing.assert_allclose(held_out.sum(axis=1), 1, atol=1e-6)
        scores = label_errors.scores(held_out, given, similar)
        assert len(set(np.argsort(-scores)[:12]) & set(flipped)) >= 11
        assert scores.min() >= 0 and scores.max() <= 1


def test_a_class_that_all_contradict_is_still_taught():
    features, labels, generator = clusters(2)
    labels = generator.permutation(labels)
    labels[:100] = 0
    held_out = label_errors.held_out_probabilities(features, labels, 0)
    assert np.isfinite(held_out).all()


def test_a_class_whose_trusted_pictures_are_all_held_out_is_taught_all_the_same():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 30)
    components = generator.normal(size=(60, 3))
    _, held_out = next(StratifiedKFold(label_errors.FOLDS, shuffle=True, random_state=0).split(components, labels))
    trusted = labels == 0
    trusted[held_out] = True
    probabilities = label_errors._cross_validate(components, labels, trusted, 0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
