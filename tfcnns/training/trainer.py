"""From a recipe and its config to a finished run: data, model, fit, files."""

import dataclasses

import keras
import tensorflow as tf

from tfcnns.errors import UserError
from tfcnns.files import whole
from tfcnns.layers import MissingDevice
from tfcnns.runs import build_saved
from tfcnns.training import checkpoints
from tfcnns.training.accumulation import accumulate
from tfcnns.training.changed import changed
from tfcnns.training.checkpointing import Checkpointing, Stopped
from tfcnns.training.compiling import compiled_segments, set_step
from tfcnns.training.crew import Crew
from tfcnns.training.exchange import exchange_in
from tfcnns.training.history import History
from tfcnns.training.placement import build_optimizer
from tfcnns.training.progress import Progress
from tfcnns.training.weights import save_weights


@dataclasses.dataclass
class Parts:
    """What a recipe and its config come to, made before anything is written.

    Attributes:
        recipe: the module; `config`: its dict of values.
        model: compiled keras.Model; `callbacks`: those that `compile` returned.
        validation: tf.data.Dataset or None.
        steps_per_epoch: steps of one epoch.
        crew: the `Crew` that trains.
        xla: what XLA compiles: "off", "segments" or "step".
    """

    recipe: object
    config: dict
    model: keras.Model
    callbacks: list
    validation: object
    steps_per_epoch: int
    crew: Crew
    xla: str = "off"

    def stream(self, epoch, step):
        """The training batches from a step of an epoch on."""
        data = self.recipe.data
        if "first_step" in self.config:
            config = {**self.config, "first_step": epoch * self.steps_per_epoch + step}
            return self.crew.dataset(lambda *part: data(config, "train", *part), endless=True)
        return self.crew.dataset(lambda *part: data(self.config, "train", *part).skip(step))


def set_seeds(seed, deterministic=False):
    """Seeds Python, NumPy and Keras; `deterministic` makes equal runs equal to the bit."""
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def prepare(recipe, config, saved=False, crew=None, xla="off"):
    """Builds data, model and optimiser, so that mistakes show before a run is made.

    Args:
        recipe, config: the recipe's module and its dict of values.
        saved: whether a run is gone on with, perhaps on a machine with fewer devices.
        crew: the `Crew` to train with; by default this process alone, on one device.
        xla: what XLA compiles, of `choose_way`.

    Raises:
        UserError: the training data has no known or no usable length, or a new model is for
            devices that don't exist.
    """
    crew = crew or Crew()
    dataset = recipe.data(config, "train", 0, 1)
    steps = _steps_per_epoch(dataset, config)
    if crew.cluster.workers > 1:
        _check_part(recipe, config, dataset, crew.cluster.workers)
    validation = crew.dataset(lambda *part: recipe.data(config, "validation", *part))
    with crew.scope(), compiled_segments(xla):
        model, callbacks = _compiled(recipe, config, saved)
        set_step(model, xla)
    _check_fit(model, dataset, config)
    _check_watched(callbacks, validation)
    accumulate(model, crew.passes)
    if crew.splits_batches:
        exchange_in(model.optimizer, crew.gradient_dtype)
    return Parts(recipe, config, model, callbacks, validation, steps, crew, xla)


def _compiled(recipe, config, saved):
    """The recipe's model with a built optimiser, and the callbacks to train it with."""
    try:
        model = build_saved(recipe, config) if saved else recipe.model(config)
    except MissingDevice as missing:
        raise UserError(str(missing)) from missing
    if not isinstance(model, keras.Model) or not model.built:
        raise UserError(
            "the recipe's model(config) must return a keras.Model that knows the shape of its "
            "input: begin it with keras.Input"
        )
    callbacks = list(recipe.compile(model, config) or [])
    if not getattr(model, "compiled", False):
        raise UserError("the recipe's compile(model, config) did not compile the model")
    build_optimizer(model)
    return model, callbacks


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
        run: the `Run` to write into; None for workers that aren't the chief.
        parts: what `prepare` made of the run's recipe and config.
        checkpoint: path of a checkpoint to go on from, or None.
        every_steps, every_minutes: how often to save a state within an epoch.
        verbose: 1 a progress bar, 2 a line an epoch, 0 nothing.

    Raises:
        Stopped: on Ctrl-C or SIGTERM, with the state saved.
    """
    model, config, steps, crew = parts.model, parts.config, parts.steps_per_epoch, parts.crew
    if checkpoint is not None:
        checkpoints.restore(checkpoint, model)
    history = History(run.path / "history.csv" if run else None)
    saver = Checkpointing(
        run,
        steps,
        others=[*parts.callbacks, history],
        monitor=config.get("monitor", "val_loss" if parts.validation is not None else "loss"),
        every_steps=every_steps,
        every_minutes=every_minutes,
        checkpoint=checkpoint,
        crew=crew,
    )
    ended = any(getattr(callback, "finished", False) for callback in parts.callbacks)
    if run and saver.epoch < config["epochs"] and not ended:
        run.go_on()
    history.write()  # the rows of a resumed run, without those of epochs to be done again
    callbacks = [*parts.callbacks, history]
    if run:
        callbacks.append(keras.callbacks.TensorBoard(run.path / "tensorboard", write_graph=False))
    callbacks.append(saver)
    if verbose == 1:
        callbacks.append(Progress(config["epochs"], steps, saver.epoch_step))

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

    def fit_from(epoch, step):
        if step:  # the rest of the epoch that was stopped
            # Metrics get their variables from a first batch; the saver then fills them. Under a
            # strategy, fit itself sees to that in time.
            if crew.strategy is None:
                model.test_on_batch(*next(iter(parts.stream(epoch, step))))
            fit(epoch, epoch + 1, step)
            epoch += 1
        if epoch < config["epochs"]:
            fit(epoch, config["epochs"], 0)
        crew.wait()

    unlisten = saver.listen()
    try:
        with compiled_segments(parts.xla):
            # Each fit would end by giving the weights their averages, if the optimiser has some.
            with changed(model.optimizer, finalize_variable_values=lambda _: None):
                fit_from(saver.epoch, saver.epoch_step)
            model.optimizer.finalize_variable_values(model.trainable_variables)
    except Stopped:
        crew.watch.stop()
        _save_weights(run, model)
        raise
    finally:
        unlisten()
    crew.watch.stop()
    _save_weights(run, model)
    if run:
        with whole(run.path / "model.keras") as file:
            model.save(file)
    return history.rows


def _save_weights(run, model):
    if run is not None:
        save_weights(model, run.path / "last.weights.h5")


def _check_part(recipe, config, dataset, workers):
    """Raises UserError if the recipe gives every worker the whole batch."""

    def size(batches):
        return len(keras.tree.flatten(next(iter(batches)))[0])

    whole_batch, part = size(dataset), size(recipe.data(config, "train", 0, workers))
    if part != whole_batch // workers:
        raise UserError(
            f"the recipe's data(config, split, worker, workers) gave one of {workers} workers "
            f"{part} samples of a batch of {whole_batch}; expected {whole_batch // workers}"
        )


def _check_watched(callbacks, validation):
    """Raises UserError if a callback watches the validation, and there is none."""
    for callback in callbacks:
        monitor = getattr(callback, "monitor", None)
        if isinstance(monitor, str) and monitor.startswith("val_") and validation is None:
            raise UserError(
                f"{type(callback).__name__} watches {monitor}, but no images are held out for "
                "validation: see the setting split"
            )


def _check_fit(model, dataset, config):
    """Raises UserError if the model doesn't take the data's images, or has other classes."""
    images = keras.tree.flatten(dataset.element_spec)[0].shape
    if len(model.inputs or []) == 1 and not images.is_compatible_with(model.inputs[0].shape):
        raise UserError(
            f"the recipe's data has images {tuple(images[1:])}, its model takes "
            f"{tuple(model.inputs[0].shape[1:])}"
        )
    names, outputs = config.get("class_names"), model.outputs or []
    if names and len(outputs) == 1 and len(names) != outputs[0].shape[-1]:
        raise UserError(
            f"class_names must name the model's {outputs[0].shape[-1]} classes. "
            f"Received: {len(names)} names"
        )


def check_monitor(parts):
    """Raises UserError if the config's `monitor` isn't among what training logs."""
    monitor = parts.config["monitor"]
    logged = parts.model.evaluate(parts.stream(0, 0), steps=1, verbose=0, return_dict=True)
    logged = [*logged, *(f"val_{name}" for name in logged if parts.validation is not None)]
    if monitor not in logged:
        raise UserError(f"monitor must be one of {', '.join(logged)}. Received: {monitor!r}")


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
