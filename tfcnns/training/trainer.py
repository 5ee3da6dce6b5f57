"""From a recipe and its config to a finished run: data, model, fit, files."""

import dataclasses

import keras
import tensorflow as tf

from tfcnns.errors import UserError
from tfcnns.runs import whole
from tfcnns.training import checkpoints
from tfcnns.training.checkpointing import Checkpointing, Stopped
from tfcnns.training.history import History
from tfcnns.training.progress import Progress


@dataclasses.dataclass
class Parts:
    """What a recipe and its config come to, made before anything is written.

    Attributes:
        recipe: the module; `config`: its dict of values.
        model: compiled keras.Model; `callbacks`: those that `compile` returned.
        validation: tf.data.Dataset or None.
        steps_per_epoch: steps of one epoch.
    """

    recipe: object
    config: dict
    model: keras.Model
    callbacks: list
    validation: object
    steps_per_epoch: int

    def stream(self, epoch, step):
        """The training batches from a step of an epoch on."""
        if "first_step" in self.config:
            first = epoch * self.steps_per_epoch + step
            return self.recipe.data({**self.config, "first_step": first}, "train", 0, 1)
        dataset = self.recipe.data(self.config, "train", 0, 1)
        return dataset.skip(step) if step else dataset


def set_seeds(seed, deterministic=False):
    """Seeds Python, NumPy and Keras; `deterministic` makes equal runs equal to the bit."""
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def prepare(recipe, config):
    """Builds data, model and optimiser, so that mistakes show before a run is made.

    Raises:
        UserError: the training data has no known or no usable length.
    """
    dataset = recipe.data(config, "train", 0, 1)
    steps = _steps_per_epoch(dataset, config)
    validation = recipe.data(config, "validation", 0, 1)
    model = recipe.model(config)
    callbacks = list(recipe.compile(model, config) or [])
    if not getattr(model, "compiled", False):
        raise UserError("the recipe's compile(model, config) did not compile the model")
    model.optimizer.build(model.trainable_variables)
    return Parts(recipe, config, model, callbacks, validation, steps)


def train(
    run,
    parts,
    *,
    checkpoint=None,
    every_steps=None,
    every_minutes=None,
    verbose=1,
):
    """Trains to the end, or until asked to stop, and leaves the run's files behind.

    Args:
        run: the `Run` to write into.
        parts: what `prepare` made of the run's recipe and config.
        checkpoint: path of a checkpoint to go on from, or None.
        every_steps, every_minutes: how often to save a state within an epoch.
        verbose: 1 a progress bar, 2 a line an epoch, 0 nothing.

    Raises:
        Stopped: on Ctrl-C or SIGTERM, with the state saved.
    """
    model, config, steps = parts.model, parts.config, parts.steps_per_epoch
    if checkpoint is not None:
        checkpoints.restore(checkpoint, model)
    history = History(run.path / "history.csv")
    saver = Checkpointing(
        run,
        steps,
        others=[*parts.callbacks, history],
        monitor=config.get("monitor", "val_loss" if parts.validation is not None else "loss"),
        every_steps=every_steps,
        every_minutes=every_minutes,
        checkpoint=checkpoint,
    )
    epoch, step = saver.epoch, saver.epoch_step
    history.write()  # the rows of a resumed run, without those of epochs to be done again
    callbacks = [
        *parts.callbacks,
        history,
        keras.callbacks.TensorBoard(run.path / "tensorboard", write_graph=False),
        saver,
    ]
    if verbose == 1:
        callbacks.append(Progress(config["epochs"], steps, step))

    def fit(first, last, skipped):
        if any(getattr(callback, "finished", False) for callback in parts.callbacks):
            return  # fit would forget that a callback has ended the training
        model.fit(
            parts.stream(first, skipped),
            epochs=last,
            initial_epoch=first,
            steps_per_epoch=steps - skipped if "first_step" in config else None,
            validation_data=parts.validation,
            callbacks=callbacks,
            shuffle=False,
            verbose=verbose,
        )

    unlisten = saver.listen()
    try:
        if step:  # the rest of the epoch that was stopped
            # Metrics get their variables from a first batch; the saver then fills them.
            model.test_on_batch(*next(iter(parts.stream(epoch, step))))
            fit(epoch, epoch + 1, step)
            epoch += 1
        if epoch < config["epochs"]:
            fit(epoch, config["epochs"], 0)
    except Stopped:
        _save_weights(run, model)
        raise
    finally:
        unlisten()
    _save_weights(run, model)
    with whole(run.path / "model.keras") as file:
        model.save(file)
    return history.rows


def _save_weights(run, model):
    with whole(run.path / "last.weights.h5") as file:
        model.save_weights(file)


def _steps_per_epoch(dataset, config):
    batches = int(dataset.cardinality())
    if batches < 1:
        raise UserError(
            "the recipe's training data has no known length, or none at all: end it with "
            "tf.data.experimental.assert_cardinality(batches)"
        )
    if "first_step" not in config:
        return batches
    if batches % config["epochs"]:
        raise UserError(
            f"the recipe's training data has {batches} batches, which is not a whole number "
            f"for each of {config['epochs']} epochs; a recipe with first_step yields them all"
        )
    return batches // config["epochs"]
