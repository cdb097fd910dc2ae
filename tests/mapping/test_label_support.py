"""What linear probes, fitted to the other samples, say of a label; and what they read from a model's output."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from keras_xai.mapping.decision import Target, linear_probes, output_decomposition
from keras_xai.mapping.gram import GramDecomposition
from keras_xai.mapping.predictions import predictions_of


def decomposition(x):
    return GramDecomposition(x - x.mean(0), is_gram=False)


def samples_in_classes(size=120, classes=3, width=6, seed=0):
    """Features of classes that lie apart, and the classes."""
    r = np.random.default_rng(seed)
    label = np.arange(size) % classes
    return r.normal(size=(size, width)) + 2 * r.normal(size=(classes, width))[label], label


def test_support_is_that_of_as_many_refits():
    """scikit-learn's Ridge without each sample in turn, its value for the sample's class, 0 to 1; the best penalty of seven."""
    x, label = samples_in_classes(40)
    gram, columns = decomposition(x), np.eye(3)[label]
    ((probe,),) = linear_probes([Target(label, "class", 3)], [gram])
    errors, by_penalty = [], []
    for penalty in np.logspace(-4, 2, 7) * gram.eigenvalues.sum() / len(x):
        left_out = np.empty_like(columns)
        for i in range(len(x)):
            rest = np.arange(len(x)) != i
            left_out[i] = Ridge(alpha=penalty, solver="svd").fit(x[rest], columns[rest]).predict(x[i : i + 1])[0]
        errors.append(np.square(columns - left_out).sum())
        mean_of_others = (columns.sum(0) - columns) / (len(x) - 1)
        by_penalty.append(left_out - mean_of_others + columns.mean(0))
    expected = by_penalty[int(np.argmin(errors))][np.arange(len(x)), label]
    np.testing.assert_allclose(probe.support, np.clip(expected, 0, 1), atol=1e-9)


def test_labels_that_were_flipped_have_the_least_support():
    """Twelve of 120, without any training: they are the twelve lowest."""
    x, label = samples_in_classes()
    label[:12] = (label[:12] + 1) % 3
    ((probe,),) = linear_probes([Target(label, "class", 3)], [decomposition(x)])
    assert set(np.argsort(probe.support)[:12]) == set(range(12))


def test_support_of_several_labels_is_their_mean_and_that_of_numbers_is_none():
    """Two yes-or-no labels: each as if it were a class of its own; numbers and a single class have no support."""
    x, label = samples_in_classes()
    pair = np.stack([label == 0, label == 1], 1).astype(int)
    ((both,), (first,), (second,)) = linear_probes(
        [Target(pair, "labels", 2), *(Target(column, "class", 2) for column in pair.T)], [decomposition(x)]
    )
    assert np.corrcoef(both.support, (first.support + second.support) / 2)[0, 1] > 0.99
    ((number,), (constant,)) = linear_probes(
        [Target(x[:, 0], "value", 1), Target(np.zeros(len(x)), "class", 2)], [decomposition(x)]
    )
    assert np.isnan([number.support, constant.support]).all()


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_a_probe_of_the_output_reads_the_decision_of_the_model(link):
    """Of probabilities nearly always; of logits without bounds, as of a model that memorises, only mostly."""
    r = np.random.default_rng(0)
    scale = 10 ** r.uniform(-0.5, 1.5, (200, 1))
    logits = r.normal(size=(200, 6 if link == "softmax" else 1)) * scale
    predictions = predictions_of(logits, logits, "logit", link, "class")
    plain = decomposition(predictions.logits)
    decision = Target.of_predictions(predictions)
    ((of_logits, of_output),) = linear_probes([decision], [plain, output_decomposition(predictions, plain)])
    assert of_output.score > 0.95
    assert of_output.score >= of_logits.score
    if link == "softmax":
        assert of_logits.score < 0.9


def test_outputs_without_probabilities_are_read_as_they_are():
    """Numbers; values that are not finite; probabilities that are all the same."""
    x = np.random.default_rng(0).normal(size=(20, 2))
    gram = decomposition(x)
    assert output_decomposition(predictions_of(x, x, "raw", "softmax", "value"), gram) is gram
    spoiled = np.where(np.arange(20)[:, None] == 3, np.nan, x)
    assert output_decomposition(predictions_of(spoiled, spoiled, "logit", "softmax", "class"), gram) is gram
    sure = np.tile([1e4, 0.0], (20, 1)) + x
    assert output_decomposition(predictions_of(sure, sure, "logit", "softmax", "class"), gram) is gram
    assert output_decomposition(predictions_of(x, x, "logit", "softmax", "class"), None) is None
