import itertools
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnns.errors import UserError
from tfcnns.pipelines.batches import batches, split_batches, steps_per_epoch

# examples, batch_size, epochs, workers, seed
STREAMS = [
    (1, 1, 3, 1, 0),
    (7, 3, 2, 3, 1),
    (10, 5, 2, 1, 2),
    (23, 6, 3, 2, -5),
    (24, 8, 2, 4, 2**40),
    (7, 5, 2, 5, 3),
    (17, 8, 2, 4, 4),
]


def example(index, seed):
    """A sample that says who it is, and what a random transform would have drawn."""
    return index, tf.random.stateless_uniform([2], seed)


def numpy(dataset):
    return [tuple(part.numpy() for part in batch) for batch in dataset]


def assert_same(batch, other):
    for part, expected in zip(batch, other, strict=True):
        np.testing.assert_array_equal(part, expected)


@pytest.fixture(scope="module", params=STREAMS, ids=str)
def stream(request):
    examples, batch_size, epochs, _, seed = request.param
    arguments = {"seed": seed, "shuffle": True, "epochs": epochs}

    def make(**more):
        return batches(example, examples, batch_size, **arguments, **more)

    return request.param, make, numpy(make())


def test_every_epoch_shows_every_sample_once(stream):
    (examples, batch_size, epochs, _, _), make, full = stream
    steps = steps_per_epoch(examples, batch_size)
    assert len(full) == make().cardinality() == epochs * steps
    for epoch in range(epochs):
        part = full[epoch * steps : (epoch + 1) * steps]
        sizes = [len(indices) for indices, _ in part]
        assert sizes[:-1] == [batch_size] * (steps - 1)
        indices = np.concatenate([indices for indices, _ in part])
        assert sorted(indices) == list(range(examples))


def test_epochs_differ_in_order_and_in_augmentation(stream):
    (examples, batch_size, epochs, _, _), _, full = stream
    steps = steps_per_epoch(examples, batch_size)
    indices, draws = (
        np.concatenate(parts).reshape(epochs, examples, -1) for parts in zip(*full, strict=True)
    )
    assert steps * epochs == len(full)
    if examples > 1:
        assert (indices[0] != indices[1]).any()
    by_sample = np.take_along_axis(draws, np.argsort(indices, axis=1), axis=1)
    assert len(np.unique(by_sample[..., 0])) == epochs * examples


def test_resumed_stream_is_the_tail_of_the_full_one(stream):
    (examples, batch_size, _, _, _), make, full = stream
    steps = steps_per_epoch(examples, batch_size)
    for first_step in {1, steps, len(full) - 1, len(full)}:
        resumed = make(first_step=first_step)
        assert resumed.cardinality() == len(full) - first_step
        tail = numpy(resumed)
        assert len(tail) == len(full) - first_step
        for batch, expected in zip(tail, full[first_step:], strict=True):
            assert_same(batch, expected)


def test_the_workers_parts_make_the_batch(stream):
    (_, batch_size, _, workers, _), make, full = stream
    parts = [numpy(make(worker=worker, workers=workers, first_step=1)) for worker in range(workers)]
    assert [len(part) for part in parts] == [len(full) - 1] * workers
    for step, expected in enumerate(full[1:]):
        slices = [part[step] for part in parts]
        sizes = [len(indices) for indices, _ in slices]
        assert max(sizes) - min(sizes) <= 1
        assert max(sizes) <= batch_size // workers
        assert_same([np.concatenate(part) for part in zip(*slices, strict=True)], expected)


def test_one_thread_or_many_and_slow_samples_change_nothing():
    def dawdle(index):
        time.sleep(0.003 * (index % 3))
        return index

    def slow(index, seed):
        index = tf.ensure_shape(tf.numpy_function(dawdle, [index], tf.int64), [])
        return example(index, seed)

    expected = numpy(batches(example, 20, 4, shuffle=True, epochs=2))
    dataset = batches(slow, 20, 4, shuffle=True, epochs=2)
    for threads in (1, 4):
        options = tf.data.Options()
        options.threading.private_threadpool_size = threads
        for batch, other in zip(numpy(dataset.with_options(options)), expected, strict=True):
            assert_same(batch, other)


def test_augmentation_belongs_to_the_sample_not_to_its_place():
    ordered = np.concatenate([draws for _, draws in numpy(batches(example, 12, 5, seed=8))])
    for indices, draws in numpy(batches(example, 12, 4, seed=8, shuffle=True)):
        np.testing.assert_array_equal(draws, ordered[indices])


def test_without_shuffle_the_order_is_that_of_the_data():
    stream = numpy(batches(example, 5, 2, epochs=2))
    assert [list(indices) for indices, _ in stream] == [[0, 1], [2, 3], [4]] * 2
    assert not np.array_equal(stream[0][1], stream[3][1])


def test_seeds_differ():
    orders = {
        tuple(
            np.concatenate([i for i, _ in numpy(batches(example, 9, 9, seed=seed, shuffle=True))])
        )
        for seed in (0, 1, -1, 2**32, 2**63)
    }
    assert len(orders) == 5


def test_starting_late_costs_nothing():
    calls = []

    def counted(index, seed):
        return tf.ensure_shape(
            tf.numpy_function(lambda i: calls.append(i) or i, [index], tf.int64), []
        )

    examples, batch_size = 10**6, 4
    stream = batches(
        counted, examples, batch_size, shuffle=True, epochs=10**6, first_step=10**11 + 7
    )
    started = time.monotonic()
    next(iter(stream))
    assert time.monotonic() - started < 10
    assert len(calls) < 1000  # what is read ahead, not what came before


def test_order_is_the_same_in_every_release():
    # A run that is resumed after an upgrade must go on in the same order.
    stream = numpy(
        batches(lambda index, seed: (index, seed), 10, 10, seed=1, shuffle=True, epochs=2)
    )
    assert [indices.tolist() for indices, _ in stream] == [
        [1, 8, 3, 2, 5, 7, 4, 0, 9, 6],
        [7, 1, 4, 5, 0, 9, 8, 6, 2, 3],
    ]
    assert [seeds[0].tolist() for _, seeds in stream] == [[-278461289, 1], [-1724119727, 7]]


def orders(examples, epochs):
    """The order of the data in each epoch, (epochs, examples)."""
    stream = batches(lambda index, seed: index, examples, examples, shuffle=True, epochs=epochs)
    return np.stack([batch.numpy() for batch in stream])


@pytest.mark.parametrize("examples", [2, 3, 1247])
def test_orders_are_permutations(examples):
    for order in orders(examples, 2):
        np.testing.assert_array_equal(np.sort(order), np.arange(examples))


def test_shuffling_prefers_no_place():
    counts = np.zeros((10, 10))
    for order in orders(10, 300):
        counts[order, np.arange(10)] += 1
    # Chi-squared with 81 degrees of freedom: above 113 once in 100.
    assert np.sum((counts - 30) ** 2 / 30) < 113


def test_shuffling_leaves_no_pattern():
    examples = 5_000
    shuffled = orders(examples, 20)
    neighbours = [
        np.corrcoef(order[:-lag], order[lag:])[0, 1] for order in shuffled for lag in (1, 2, 8, 64)
    ]
    epochs = [np.corrcoef(a, b)[0, 1] for a, b in itertools.pairwise(shuffled)]
    for correlations in (neighbours, epochs):  # each of standard deviation 1 / sqrt(examples)
        assert np.abs(correlations).max() * np.sqrt(examples) < 4
        assert np.square(correlations).mean() * examples < 2
    # Classes stored one after the other: a batch holds as many of each as chance allows.
    labels = shuffled.reshape(-1, 100) * 10 // examples
    spread = np.mean([(labels == label).sum(axis=1).var() for label in range(10)])
    assert abs(spread / 9 - 1) < 0.06


def test_shapes_are_known_where_they_can_be():
    assert batches(example, 12, 4).element_spec[1].shape == (4, 2)
    assert batches(example, 12, 4, worker=1, workers=2).element_spec[1].shape == (2, 2)
    assert batches(example, 13, 4).element_spec[1].shape.as_list() == [None, 2]


def test_samples_may_be_dicts_and_single_tensors():
    (batch,) = batches(lambda index, seed: {"image": tf.zeros([2, 2]), "label": index}, 3, 3)
    assert batch["image"].shape == (3, 2, 2)
    assert batch["label"].numpy().tolist() == [0, 1, 2]
    (batch,) = batches(lambda index, seed: index, 3, 3)
    assert batch.numpy().tolist() == [0, 1, 2]


def test_keras_fit_sees_the_number_of_steps():
    images, labels = tf.random.stateless_normal([10, 4], [1, 2]), tf.range(10) % 3

    def sample(index, seed):
        return images[index], labels[index]

    model = keras.Sequential([keras.Input([4]), keras.layers.Dense(3)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(batches(sample, 10, 4, shuffle=True, epochs=2), shuffle=False, verbose=0)
    assert history.params["steps"] == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"examples": 0}, "examples must be at least 1. Received: examples=0"),
        ({"batch_size": 0}, "batch_size must be at least 1. Received: batch_size=0"),
        ({"batch_size": 11}, "at most the number of examples, 10. Received: batch_size=11"),
        (
            {"batch_size": 5, "workers": 2},
            "multiple of the number of workers, 2. Received: batch_size=5",
        ),
        ({"worker": 2, "workers": 2}, r"worker must be in 0\.\.1. Received: worker=2"),
        ({"worker": -1}, r"worker must be in 0\.\.0. Received: worker=-1"),
        ({"workers": 0}, "workers must be at least 1. Received: workers=0"),
        ({"epochs": 0}, "epochs must be at least 1. Received: epochs=0"),
        ({"first_step": 7, "epochs": 2}, r"first_step must be in 0\.\.6. Received: first_step=7"),
        ({"first_step": -1}, "Received: first_step=-1"),
    ],
)
def test_mistakes_are_named(changes, message):
    arguments = {"example": example, "examples": 10, "batch_size": 4} | changes
    with pytest.raises(UserError, match=message):
        batches(**arguments)


def test_a_split_that_is_smaller_than_the_batch_is_one_batch():
    config = {"batch_size": 8, "seed": 0, "epochs": 1, "first_step": 0}

    def sizes(split, *part):
        stream = split_batches(lambda index, seed: index, 5, config, split, *part)
        return [len(batch) for batch in stream]

    assert sizes("test") == [5]
    assert (sizes("test", 0, 2), sizes("test", 1, 2)) == ([2, 0], [2, 1])
    with pytest.raises(UserError, match="batch_size must be at most the number of examples, 5"):
        sizes("train")
