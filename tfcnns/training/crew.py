"""Who trains: the replicas and processes of one training, and the data that each of them gets."""

import contextlib
import dataclasses

import tensorflow as tf

from tfcnns.training.cluster import Cluster
from tfcnns.training.peers import Watch
from tfcnns.training.services import served


@dataclasses.dataclass
class Crew:
    """The strategy of a training and this process' place in it; by default it is alone.

    A context in which the loss of another worker, or of a service, ends this process with a line
    that names it.

    Attributes:
        strategy: of `make_strategy`, or None.
        cluster: the `Cluster` of processes.
        services: addresses of tf.data services that make this process' batches; () none.
        passes: parts in which each replica works through its part of a batch.
        gradient_dtype: type in which replicas exchange their gradients.
        watch: the `Watch` over the others; to be stopped once this process needs them no more.
    """

    strategy: object = None
    cluster: Cluster = dataclasses.field(default_factory=Cluster)
    services: tuple = ()
    passes: int = 1
    gradient_dtype: str = "float32"

    def __post_init__(self):
        self.watch = Watch(self.cluster, self.services)

    def __enter__(self):
        self.watch.start()
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, tf.errors.OpError):
            self.watch.look()
        self.watch.stop()

    @property
    def is_chief(self):
        return self.cluster.is_chief

    @property
    def splits_batches(self):
        """Whether each replica gets a part of the global batch."""
        kinds = (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)
        return isinstance(self.strategy, kinds)

    def scope(self):
        """The context to build and compile a model in."""
        return self.strategy.scope() if self.strategy is not None else contextlib.nullcontext()

    def dataset(self, make, endless=False):
        """What `fit` and `evaluate` take.

        Args:
            make: function (worker, workers) -> tf.data.Dataset of that part of each global
                batch, or None.
            endless: whether the reader knows when to stop; spares several workers asking each
                other at every step whether there is more.

        Returns: a tf.data.Dataset or a distributed one; None if `make` returns that.
        """
        workers = self.cluster.workers
        dataset = served(make, self.services, self.cluster.worker, workers)
        if dataset is None or not self.splits_batches:
            return dataset
        if endless:
            dataset = dataset.repeat()
        here = self.strategy.num_replicas_in_sync // workers
        return self.strategy.distribute_datasets_from_function(lambda _: split(dataset, here))

    def any(self, flags):
        """For each of some booleans, whether it is true on any worker. All have to call it."""
        if self.cluster.workers == 1:
            return list(flags)
        values = self.strategy.run(lambda: tf.constant(flags, tf.float32))
        return [bool(x) for x in self.strategy.reduce("SUM", values, axis=None).numpy()]

    def wait(self):
        """Returns once all workers have come here."""
        self.any([True])


def split(dataset, parts):
    """Each batch as `parts` smaller ones, which may be empty, one after the other."""
    if parts == 1:
        return dataset
    is_tuple = isinstance(dataset.element_spec, tuple)

    def pieces(*batch):
        batch = batch if is_tuple else batch[0]
        size = tf.shape(tf.nest.flatten(batch)[0], tf.int64)[0]

        def piece(i):
            start, stop = size * i // parts, size * (i + 1) // parts
            return tf.nest.map_structure(lambda x: x[start:stop], batch)

        return tf.data.Dataset.range(parts).map(piece)

    return dataset.flat_map(pieces).prefetch(parts)
