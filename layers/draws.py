"""Random numbers that follow from the seed, the step and a sample's place in the global batch.

A layer that draws for each sample of a batch has to know which samples these are: replicas work
on parts of one batch, and so do the passes of a batch whose gradients are accumulated. Stock Keras
draws the same numbers on every replica and others in every pass. Here sample number s of the
global batch gets the same numbers however the batch is split, so that any number of replicas and
passes trains to the weights of one, noise included.

TensorFlow's generator Philox makes it cheap: from a key it computes four numbers for each value of
a counter, in any order. The key follows from the seed and the step, the counter from the sample's
place, and a part of the batch begins at its own value of the counter.

Whoever splits batches says where a part begins: `samples_from`. Without a word, replica r of a
tf.distribute strategy begins at r times the size of its own part, which is right for parts of
equal size. Under the JAX backend one program draws for the whole batch, as Keras does.
"""

import contextlib
import math
import threading

import keras
from keras import ops


class _Here(threading.local):  # each replica is traced in a thread of its own
    first = None
    drawn = None


_here = _Here()


@contextlib.contextmanager
def samples_from(first, drawn=None):
    """While a part of a global batch is worked on: which of its samples is the part's first.

    Args:
        first: index in the global batch, an integer or an integer scalar.
        drawn: dict for a part that is one of several passes of a step. All passes draw from the
            state that the step began with; the dict gets how often each generator was asked, by
            which `SampleSeeds.advance` moves the states on once the step is done. None: the
            states move on at each draw.
    """
    before = _here.first, _here.drawn
    _here.first, _here.drawn = first, drawn
    try:
        yield
    finally:
        _here.first, _here.drawn = before


def first_sample(samples):
    """Index in the global batch of the first of so many `samples` on this replica."""
    if _here.first is not None:
        return _here.first
    if keras.backend.backend() != "tensorflow":
        return 0
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return 0
    return context.replica_id_in_sync_group * samples


class SampleSeeds(keras.random.SeedGenerator):
    """A `keras.random.SeedGenerator` that knows the place of samples in the global batch.

    It has the state of its parent, two integers: the seed, and how often it was asked. Layers
    keep it as an attribute, and it is saved and restored with their other variables.

    Args:
        seed: integer; None takes a random one.
        **kwargs: as for keras.random.SeedGenerator.

    Example:
        >>> seeds = SampleSeeds(1)
        >>> seeds.uniform(4, 10).shape  # ten numbers for each of four samples
        TensorShape([4, 10])
    """

    def uniform(self, samples, size):
        """Uniform numbers in [0, 1), (samples, size) float32, `size` of them for each sample."""
        if keras.backend.backend() != "tensorflow":
            return keras.random.uniform((samples, size), dtype="float32", seed=self)
        import tensorflow as tf

        # As keras.random makes the two 32-bit integers that XLA's generators need.
        seed = tf.cast(tf.math.floormod(self.next(), tf.int32.max - 1), tf.int32)
        key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
        fours = -(-size // 4)  # values of the counter that a sample takes up
        place = tf.cast(first_sample(samples), tf.int64) * tf.cast(fours, tf.int64)
        drawn = tf.raw_ops.StatelessRandomUniformV2(
            shape=(samples, 4 * fours),
            key=key,
            counter=tf.stack([tf.cast(place, tf.uint64), counter[1]]),
            alg=tf.random.Algorithm.PHILOX.value,
        )
        return drawn if isinstance(size, int) and size % 4 == 0 else drawn[:, :size]

    def normal(self, samples, size):
        """Numbers of the standard normal distribution, (samples, size) float32."""
        # Box and Muller's transform of uniform numbers: XLA's normal numbers can't begin anywhere.
        radius, angle = ops.split(self.uniform(samples, 2 * size), 2, axis=1)
        return ops.sqrt(-2 * ops.log(1 - radius)) * ops.cos(2 * math.pi * angle)

    def next(self, ordered=True):
        """The seed of the next draw: of all replicas and passes of a step the same."""
        drawn = _here.drawn
        if drawn is None:
            return super().next(ordered)
        drawn[self] = drawn.get(self, 0) + 1
        return self.state.value + self._after(drawn[self] - 1)

    def advance(self, draws):
        """Moves the state on by so many draws."""
        self.state.assign(self.state.value + self._after(draws))

    def _after(self, draws):
        return ops.convert_to_tensor([0, draws], dtype=self.state.dtype)
