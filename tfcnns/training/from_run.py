"""Training that goes on from the layers of another run, where the two nets have them in common.

OverFeat's stages: the regressor looks at the classifier's trunk, the detector is the classifier
with one class more.
"""

import numpy as np

from tfcnns import runs
from tfcnns.errors import UserError
from tfcnns.training.beginning import Beginning


def earlier_run(config, stages):
    """The run that `from_run` of a config names.

    Args:
        config: a recipe's, with "stage" and "from_run".
        stages: names of the stages whose runs will do. Of a run whose config has no stage,
            nothing is asked: `copy_layers` finds out whether it fits.

    Raises: UserError if `from_run` is missing, no finished run, or of another stage.
    """
    stage, path = config["stage"], config["from_run"]
    if not path:
        raise UserError(f"stage={stage} builds on a run: --set from_run=DIR")
    run = runs.open_run(path)
    run.check_finished("from_run")
    its = run.config.get("stage")
    if its is not None and its not in stages:
        raise UserError(
            f"from_run={path} is of stage {its}; stage={stage} builds on {' or '.join(stages)}"
        )
    return run


def copy_layers(source, target, outputs=()):
    """Gives the layers of `target` the weights of the layers of the same name in `source`.

    Args:
        source, target: keras.Model.
        outputs: names of layers that may have other numbers of outputs. Where `target` has more,
            the first are copied, and the others' weights become zero; where it has fewer, it is
            made for other classes and keeps its own.

    Returns: names of the layers that were copied.
    Raises: UserError if a layer's weights have other shapes, or none was copied.
    """
    layers = {layer.name: layer for layer in source.layers if layer.weights}
    copied = []
    for layer in target.layers:
        if not layer.weights or layer.name not in layers:
            continue
        given = layers[layer.name].get_weights()
        own = [weight.shape for weight in layer.weights]
        if layer.name in outputs:
            if given[0].shape[-1] > own[0][-1]:
                continue
            given = [_widened(array, shape) for array, shape in zip(given, own, strict=True)]
        if [array.shape for array in given] != [tuple(shape) for shape in own]:
            raise UserError(
                f"layer {layer.name} of model {source.name} has other shapes than that of "
                f"{target.name}: {[array.shape for array in given]}, expected {own}"
            )
        layer.set_weights(given)
        copied.append(layer.name)
    if not copied:
        raise UserError(f"model {source.name} has no layer in common with {target.name}")
    return copied


class StartFromRun(Beginning):
    """`copy_layers` from a run's finished model when training begins, not when it is resumed.

    Args:
        path: the run's directory.
        outputs: as for `copy_layers`.
    """

    def __init__(self, path, outputs=()):
        super().__init__()
        self.path = path
        self.outputs = outputs

    def begin(self):
        copy_layers(runs.open_run(self.path).load_model(), self.model, self.outputs)


def _widened(array, shape):
    more = (0, shape[-1] - array.shape[-1])
    return np.pad(array, [*[(0, 0)] * (array.ndim - 1), more])
