"""SampleSeeds: numbers that go by a sample's place in the global batch, however it is split."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns.layers import PCALighting, RandomWindow, ScaledDropout
from tfcnns.layers.draws import SampleSeeds, samples_from

KINDS = ("uniform", "normal")
# Normal numbers are computed from uniform ones, and TensorFlow's logarithms and cosines differ in
# the last bit between the packed and the odd values of an array: 5e-7 of values below 8.
EXACT = {"uniform": 0, "normal": 1e-6}


def drawn(kind, samples, size, first=None, seeds=None):
    seeds = seeds or SampleSeeds(5)
    with samples_from(first):
        return getattr(seeds, kind)(samples, size)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 3, 8])
@pytest.mark.parametrize(("first", "stop"), [(0, 3), (3, 11), (10, 10)])
def test_a_part_is_that_part_of_the_whole(kind, size, first, stop):
    whole = drawn(kind, 11, size)
    part = drawn(kind, stop - first, size, first)
    assert part.dtype == "float32"
    np.testing.assert_allclose(part, whole[first:stop], rtol=0, atol=EXACT[kind])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "XLA"])
def test_so_it_is_in_a_graph_where_only_the_run_knows_the_sizes(kind, compiled):
    seeds = SampleSeeds(5)

    def draw(like, first):
        seeds.state.assign([5, 0])
        return drawn(kind, tf.shape(like)[0], tf.shape(like)[1], first, seeds)

    spec = [tf.TensorSpec((None, None)), tf.TensorSpec((), tf.int32)]
    draw = tf.function(draw, jit_compile=compiled, input_signature=spec)
    whole = draw(np.zeros((11, 6), "float32"), 0)
    part = draw(np.zeros((4, 6), "float32"), 7)
    np.testing.assert_allclose(part, whole[7:], rtol=0, atol=EXACT[kind])
    if kind == "uniform" and not compiled:
        np.testing.assert_array_equal(whole, drawn(kind, 11, 6))


def test_where_the_samples_lie_far_beyond_32_bits():
    far = drawn("uniform", 2, 4096, 2**40)
    assert (far[0].numpy() != drawn("uniform", 1, 4096, 0)[0].numpy()).mean() > 0.99
    np.testing.assert_array_equal(far[1:], drawn("uniform", 1, 4096, 2**40 + 1))


def test_the_distributions():
    # A million numbers: means are known to a thousandth (one standard deviation), the fourth
    # moment of the normal ones, whose deviation is sqrt(96), to a hundredth.
    u = drawn("uniform", 1000, 1000).numpy()
    assert u.min() >= 0
    assert u.max() < 1
    np.testing.assert_allclose([u.mean(), u.std()], [1 / 2, 12**-0.5], atol=2e-3)
    tenths, _ = np.histogram(u, 10, (0, 1))
    np.testing.assert_allclose(tenths / u.size, 0.1, atol=2e-3)
    n = drawn("normal", 1000, 1000).numpy()
    moments = [n.mean(), n.var(), (n**3).mean(), (n**4).mean()]
    np.testing.assert_allclose(moments, [0, 1, 0, 3], atol=0.04)
    for x in (u - 0.5, n):  # neighbours, in a sample and from sample to sample
        for shifted in (x * np.roll(x, 1, 0), x * np.roll(x, 1, 1), x * np.roll(x, 500, 1)):
            assert abs(shifted.mean() / x.var()) < 5e-3


def test_another_step_and_another_seed_draw_others():
    seeds = SampleSeeds(5)
    first, second = (seeds.uniform(4, 100).numpy() for _ in range(2))
    other = SampleSeeds(6).uniform(4, 100).numpy()
    assert len(np.unique([first, second, other])) > 1190  # of 1200 numbers of 23 bits
    np.testing.assert_array_equal(seeds.state.numpy(), [5, 2])


def test_passes_draw_from_the_state_of_their_step():
    """A layer that is called twice draws twice: so does each pass, and the step ends once."""
    at_once, in_passes = SampleSeeds(5), SampleSeeds(5)
    for _ in range(2):  # steps
        expected = [at_once.uniform(5, 3).numpy() for _ in range(2)]
        parts = []
        for first, stop in ((0, 2), (2, 5)):
            counts = {}
            with samples_from(first, counts):
                parts.append([in_passes.uniform(stop - first, 3).numpy() for _ in range(2)])
        assert counts == {in_passes: 2}
        in_passes.advance(counts[in_passes])
        for i in range(2):
            np.testing.assert_array_equal(np.concatenate([p[i] for p in parts]), expected[i])
    np.testing.assert_array_equal(in_passes.state.numpy(), at_once.state.numpy())


def pca_lighting():
    layer = PCALighting(seed=3)
    layer.adapt(np.random.RandomState(0).rand(4, 5, 5, 3).astype("float32"))
    return layer


LAYERS = {
    "ScaledDropout": lambda: ScaledDropout(0.4, seed=3),
    "RandomWindow": lambda: RandomWindow(2, seed=3),
    "PCALighting": pca_lighting,
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_layers_draw_by_the_samples_place(make):
    images = np.random.RandomState(1).rand(7, 5, 5, 3).astype("float32")
    whole = make()(images, training=True).numpy()
    layer, state = make(), None
    for first, stop in ((0, 3), (3, 7), (7, 7)):
        state = layer.seed_generator.state.numpy() if state is None else state
        layer.seed_generator.state.assign(state)
        with samples_from(first):
            part = layer(images[first:stop], training=True)
        # PCALighting's shifts are sums of normal numbers times eigenvalues of at most 3/4.
        np.testing.assert_allclose(part, whole[first:stop], rtol=0, atol=EXACT["normal"])
    assert np.abs(whole - images).max() > 1e-3


def test_the_state_is_one_of_the_layers_variables():
    model = keras.Sequential([keras.Input((3,)), ScaledDropout(0.5, seed=3)])
    assert [v.shape for v in model.variables] == [(2,)]
    model(np.ones((2, 3)), training=True)
    np.testing.assert_array_equal(model.variables[0], [3, 1])
