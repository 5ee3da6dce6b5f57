"""The vote of scales, flips and windows against its loop."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns.detection import default_scales, dense_map, geometry, multiscale_vote, scaled_shape
from tfcnns.models import overfeat
from tfcnns.pipelines.transforms import resize


def small(**kwargs):
    """The digits net, narrow, with biases; the same weights in every test."""
    keras.utils.set_random_seed(0)
    model = overfeat("digits", classes=5, width=0.2, **kwargs)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name == "bias":
            weight.assign(rng.normal(scale=0.3, size=weight.shape))
    return model


def picture(height=70, width=53, dtype="float32"):
    pixels = np.random.default_rng(1).uniform(0, 255, size=(height, width, 1))
    return (pixels / 128 if dtype == "float32" else pixels).astype(dtype)


def looped(model, image, scales, flips=(1, -1)):
    """Section 3.3, (i) and (ii)."""
    vectors = []
    for scale in scales:
        seen = resize(image, *scaled_shape(geometry(model), image.shape, scale))
        for direction in flips:
            scores = np.asarray(dense_map(model, seen[:, ::direction]))
            vectors.append([scores[:, :, c].max() for c in range(scores.shape[2])])
    return np.mean(vectors, axis=0)


@pytest.mark.parametrize("shape", [(70, 53), (30, 30), (90, 130), (20, 31)])
def test_equals_the_loop(shape):
    model, image = small(), picture(*shape)
    vote = multiscale_vote(model, image)
    assert vote.shape == (5,)
    assert vote.dtype == "float32"
    expected = looped(model, image, default_scales(geometry(model)))
    np.testing.assert_allclose(vote, expected, atol=1e-5)


@pytest.mark.parametrize("scales", [(36,), [44, 68], ((40, 60), 52), (20,), (200,)])
def test_scales_of_ones_own(scales):
    model, image = small(), picture()
    vote = multiscale_vote(model, image, scales)
    np.testing.assert_allclose(vote, looped(model, image, scales), atol=1e-5)
    still = multiscale_vote(model, image, scales, flip=False)
    np.testing.assert_allclose(still, looped(model, image, scales, flips=(1,)), atol=1e-5)


def test_one_window_votes_as_the_model_says():
    model, image = small(), picture(32, 32)
    vote = multiscale_vote(model, image, [32], flip=False)
    np.testing.assert_allclose(vote, model(image[None])[0, 0, 0], atol=1e-6)


def test_the_mirror_image_votes_the_same():
    model, image = small(), picture()
    vote = multiscale_vote(model, image)
    np.testing.assert_allclose(multiscale_vote(model, image[:, ::-1]), vote, atol=1e-5)
    assert not np.allclose(multiscale_vote(model, image, flip=False), vote, atol=1e-4)


def test_scores_without_an_activation_get_their_softmax():
    expected = multiscale_vote(small(), picture())
    scores = small(classifier_activation=None)
    np.testing.assert_allclose(multiscale_vote(scores, picture()), expected, atol=1e-5)


def test_an_image_in_whole_levels():
    model = small(preprocessing=[keras.layers.Rescaling(1 / 128)])
    whole = picture(dtype="uint8")
    expected = multiscale_vote(model, whole.astype("float32"))
    np.testing.assert_allclose(multiscale_vote(model, whole), expected, atol=0.01)  # rounded pixels
    vote = multiscale_vote(model, whole, [(70, 53)])  # not resized
    np.testing.assert_allclose(vote, looped(model, whole, [(70, 53)]), atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (400, 2)])
def test_images_of_any_shape(shape):
    vote = np.asarray(multiscale_vote(small(), picture(*shape), [36, 52]))
    assert np.all((vote > 0) & (vote < 1))


def test_boxes_dont_vote():
    both = small(head="both")
    classifier = overfeat("digits", classes=5, width=0.2)
    for layer in classifier.layers:
        layer.set_weights(both.get_layer(layer.name).get_weights())
    np.testing.assert_allclose(
        multiscale_vote(both, picture()), multiscale_vote(classifier, picture()), atol=1e-6
    )
    with pytest.raises(ValueError, match=r"outputs \('boxes',\). Received: 'classifier'"):
        multiscale_vote(small(head="regressor"), picture())


def test_in_a_graph_that_does_not_know_the_size():
    model = small()
    traced = tf.function(
        lambda image: multiscale_vote(model, image),
        input_signature=[tf.TensorSpec((None, None, 1), tf.uint8)],
    )
    for shape in [(70, 53), (20, 90), (1, 1)]:
        image = picture(*shape, dtype="uint8")
        np.testing.assert_allclose(traced(image), multiscale_vote(model, image), atol=1e-5)


@pytest.mark.parametrize(
    ("image", "scales", "message"),
    [
        (picture(), [], "at least one scale"),
        (picture(), [0], "Received: scale=0"),
        (picture()[..., 0], None, r"\(height, width, 1\). Received: shape=\(70, 53\)"),
        (np.zeros((70, 53, 3)), None, r"Received: shape=\(70, 53, 3\)"),
    ],
)
def test_wrong_arguments_are_named(image, scales, message):
    with pytest.raises(ValueError, match=message):
        multiscale_vote(small(), image, scales)
