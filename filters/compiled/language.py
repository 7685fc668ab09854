"""fastText's most likely label of each text, and whether its lead is such that no rounding could give another.

The mean of a text's rows is the library's to the last bit (ngrams.py). The scores are not: the library may add up the products of
a score in another order. By how much these can differ at most is known (`_rounding`) and taken off the lead.
"""

import numpy as np
from numba import njit

from filters.compiled.ngrams import ASK, add_row, add_text, fill_slots
from filters.compiling import entry

NEAR = np.float64(1e-3)  # a lead, of logarithms: far more than the rounding of probabilities comes to
_LEAST = np.exp(-6.0)  # of a tree's best product: below it, the library's logarithms of products are too coarse
_NONE = 1e-5  # of a product: what is under it can neither lead nor be near a leader


@entry
def enter_words(words, ends, slots):
    """Fill the table of a model's words and labels; False where they cannot be had in it."""
    return fill_slots(words, ends, slots)


@entry
def top_labels(data, places, table, known, line_end, rows, shape, output, tree, labels, sure):
    """Of text i, data[places[i]:places[i + 1]]: the best label in `labels`, -1 for none; in `sure`, whether it is the library's.

    `table`: bytes, ends and slots of the `known` words and then of the labels. `rows` (words and buckets, d) and `output` (d,
    labels) float32. `shape`: buckets, least and most code points of n-grams. `tree`: children of the inner nodes of a
    hierarchical softmax, (labels - 1, 2), none for a softmax. `line_end`: the word </s>, which ends every line, or -1.
    """
    hidden = np.zeros(rows.shape[1], np.float32)
    scores = np.zeros(output.shape[1], np.float32)
    products = np.zeros(2 * output.shape[1], np.float64)
    widest = _widest(output)
    for text in range(labels.shape[0]):
        labels[text], sure[text] = -1, False
        hidden[:] = 0
        count = add_text(data, places[text], places[text + 1], table, known, rows, shape, hidden)
        if count == ASK:
            continue
        if line_end >= 0:
            add_row(hidden, rows, line_end)
            count += 1
        if count == 0:  # the library gives no label, either
            sure[text] = True
            continue
        share = np.float32(1.0 / count)
        for at in range(hidden.shape[0]):
            hidden[at] *= share
        _score(hidden, output, scores)
        rounding = _rounding(hidden, widest)
        if tree.shape[0]:
            labels[text], sure[text] = _best_of_tree(scores, tree, products, rounding)
        else:
            labels[text], sure[text] = _best(scores, rounding)


@njit
def _widest(output):
    """The largest norm of a label's weights; infinite where one is no number."""
    widest = 0.0
    for label in range(output.shape[1]):
        squares = 0.0
        for at in range(output.shape[0]):
            squares += np.float64(output[at, label]) ** 2
        if not np.isfinite(squares):
            return np.inf
        widest = max(widest, squares)
    return np.sqrt(widest)


@njit
def _rounding(hidden, widest):
    """By how much a score, a sum of d float32 products, can differ from the exact one, in whatever order it is added up."""
    squares = 0.0
    for at in range(hidden.shape[0]):
        squares += np.float64(hidden[at]) ** 2
    return (hidden.shape[0] + 4) * 2.0**-24 * np.sqrt(squares) * widest


@njit
def _score(hidden, output, scores):
    scores[:] = 0
    for at in range(hidden.shape[0]):
        share = hidden[at]
        for label in range(scores.shape[0]):
            scores[label] += share * output[at, label]


@njit
def _best(scores, rounding):
    """(best label, whether its score leads the second's by more than rounding). Two scores are rounded, here and there."""
    first, second, best = np.float32(-np.inf), np.float32(-np.inf), -1
    for label in range(scores.shape[0]):
        if scores[label] > first:
            second, first, best = first, scores[label], label
        elif scores[label] > second:
            second = scores[label]
    return best, first - second - 4 * rounding >= NEAR


@njit
def _best_of_tree(scores, tree, products, rounding):
    """(best label, whether it leads by more than rounding) of a hierarchical softmax: parents stand behind their children.

    The library adds logarithms of p + 1e-5 from the root to a leaf; here these are multiplied. An error e in the score of a node
    moves the logarithm of a branch p by at most (1 - p) e; the 1 - p of a path sum up to at most the logarithm of its product.
    """
    leaves = scores.shape[0]
    products[2 * leaves - 2] = 1
    for node in range(leaves - 2, -1, -1):
        product = products[leaves + node]
        if product < _NONE:
            products[tree[node, 0]] = products[tree[node, 1]] = 0
            continue
        chance = 1 / (1 + np.exp(-np.float64(scores[node])))
        products[tree[node, 0]] = product * (1 - chance + 1e-5)
        products[tree[node, 1]] = product * (chance + 1e-5)
    first, second, best = 0.0, 0.0, -1
    for leaf in range(leaves):
        if products[leaf] > first:
            second, first, best = first, products[leaf], leaf
        elif products[leaf] > second:
            second = products[leaf]
    if not (first >= _LEAST and rounding < 0.01):
        return best, False
    second = max(second, _NONE)
    return best, np.log(first / second) - 4 * rounding * (1 - np.log(second)) >= NEAR
