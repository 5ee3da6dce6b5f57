"""Where the windows of an OverFeat lie, worked out from its layers."""

import dataclasses

import keras
from keras import ops

from tfcnns.layers import BoxRegressor

MAX_ASPECT = 8  # long side over short, of images that are scaled: thinner ones are squeezed


@dataclasses.dataclass(frozen=True)
class Geometry:
    """The windows of a fully convolutional net, in pixels of the image that it sees.

    A cell is one position of the map before the last pool: `step` pixels. The window of output
    (i, j) begins at pixel (i * spacing, j * spacing), where the spacing is `step` with the last
    pool at every offset and `stride` at offset 0 alone.

    | | window | stride | pool | step | head | receptive_field | context | smallest |
    |---|---|---|---|---|---|---|---|---|
    | fast | 231 | 32 | 2 | 16 | 6 | 327 | 48 | 247 |
    | accurate | 221 | 36 | 3 | 12 | 5 | 317 | 48 | 245 |
    | digits | 32 | 8 | 2 | 4 | 3 | 48 | 8 | 36 |

    With padding="valid" the window is the receptive field, and there is no context.

    Methods take sides as Python integers, or as integer tensors inside a graph that doesn't know
    the image's size, and return the same kind.
    """

    window: int  # side of what one output is about: all it sees, but for the context
    stride: int  # from window to window at one offset
    pool: int  # side of the last pool, cells
    head: int  # side of what the head looks at, pooled cells
    receptive_field: int  # side of all that one output sees
    channels: int  # of the image
    last_pool: str  # name of the layer

    @property
    def step(self):
        """From window to window over all offsets; the side of a cell."""
        return self.stride // self.pool

    @property
    def offsets(self):
        """Where the last pool's grid can start, in cells, along each axis: 0 .. pool - 1."""
        return tuple(range(self.pool))

    @property
    def context(self):
        """What zero-padded layers see beyond the window, on each side of it."""
        return (self.receptive_field - self.window) // 2

    @property
    def smallest(self):
        """The smallest side that has a window at every offset."""
        return self.window + self.stride - self.step

    def fitted_shape(self, height, width):
        """The size at which an image is looked at: its own, unless a window doesn't fit in.

        Then the image is enlarged until its shorter side is one window; the longer side follows,
        rounded, up to MAX_ASPECT windows.
        """

        def side(own, other):
            short = choose(own < other, own, other)
            scaled = (2 * own * self.window + short) // (2 * short)
            most = MAX_ASPECT * self.window
            scaled = choose(scaled > most, most, scaled)
            return choose(short < self.window, scaled, own)

        return side(height, width), side(width, height)

    def spacing(self, height, width):
        """Pixels between windows: `step`, or `stride` if not every offset has room."""
        return choose((height < self.smallest) | (width < self.smallest), self.stride, self.step)

    def map_shape(self, height, width):
        """Rows and columns of the dense map of an image of this size, at least one window.

        Every offset has as many windows as the last one has room for.
        """
        offsets = self.stride // self.spacing(height, width)
        return tuple(
            ((side - self.window - (offsets - 1) * self.step) // self.stride + 1) * offsets
            for side in (height, width)
        )


def geometry(model):
    """The `Geometry` of an OverFeat, from its layers alone: no name, size or width is assumed.

    Args:
        model: a functional keras.Model, built or loaded, with one image as its input and one
            output or a dict of them, whose layers form one chain up to the last max-pool and one
            chain from there to each output. Of the layers that look at more than one pixel,
            Conv2D, MaxPooling2D, AveragePooling2D and BoxRegressor can be there, square, channels
            last; the last pool's stride is its size. Only convolutions of stride 1 before the
            last pool may pad.

    Raises: ValueError, naming the layer, for any other model.
    """
    return _measure(*take_apart(model))


def take_apart(model):
    """Layers of the trunk, the last pool, and a dict of the layers of each head, as in `geometry`.

    A head's name is its key in the model's outputs; that of a single output is "boxes" where a
    BoxRegressor makes it, else "classifier".
    """
    if not getattr(model, "inputs", None) or len(model.inputs) != 1:
        raise ValueError(
            "expected a functional keras.Model with one image as its input. "
            f"Received: model={model!r}"
        )
    outputs = model.output if isinstance(model.output, dict) else {None: model.output}
    producers = {id(layer.output): layer for layer in model.layers}
    trunk, pool, heads = None, None, {}
    for name, output in outputs.items():
        layers = _chain(model, output, producers)
        pools = [layer for layer in layers if isinstance(layer, keras.layers.MaxPooling2D)]
        if not pools or (pool is not None and pools[-1] is not pool):
            raise ValueError(
                "every output must come from the same last MaxPooling2D layer. "
                f"Received: model={model.name}, with {[layer.name for layer in layers]}"
            )
        pool = pools[-1]
        at = layers.index(pool)
        trunk, head = layers[:at], layers[at + 1 :]
        boxes = any(isinstance(layer, BoxRegressor) for layer in head)
        heads[name or ("boxes" if boxes else "classifier")] = head
    return trunk, pool, heads


def choose(condition, yes, no):
    """`yes` or `no`, now if the condition is known, else in the graph."""
    if isinstance(condition, bool):
        return yes if condition else no
    return ops.where(condition, yes, no)


def _chain(model, output, producers):
    """The layers from the model's input to `output`, an output of the model."""
    layers = []
    tensor = output
    while tensor is not model.inputs[0]:
        layer = producers.get(id(tensor))
        if layer is None or not hasattr(layer.input, "shape"):
            raise ValueError(
                "expected layers (no models inside the model) of one input and one output each, "
                "from the image on. "
                f"Received: model={model.name}, with {tensor!r}"
            )
        layers.append(layer)
        tensor = layer.input
    return layers[::-1]


def _measure(trunk, pool, heads):
    reach, field, step = 1, 1, 1  # pixels: of one cell without and with padded layers, and apart
    for layer in trunk:
        size, stride, padded = _spatial(layer)
        if padded and (stride != 1 or size % 2 == 0):
            raise ValueError(
                'layers with padding="same" must have stride 1 and an odd kernel. '
                f"Received: {layer.name} of size {size}, stride {stride}"
            )
        field += (size - 1) * step
        reach += 0 if padded else (size - 1) * step
        step *= stride
    side, stride, padded = _spatial(pool)
    if side != stride or padded:
        raise ValueError(
            'the last pool must have its size as its stride, and padding="valid". '
            f"Received: {pool.name} of size {side}, stride {stride}"
        )
    sizes = {name: _head_size(layers) for name, layers in heads.items()}
    head = max(sizes.values())
    if len(set(sizes.values())) > 1:
        raise ValueError(f"heads must look at patches of one size. Received: {sizes}")
    rest = (head * side - 1) * step
    return Geometry(
        window=reach + rest,
        stride=side * step,
        pool=side,
        head=head,
        receptive_field=field + rest,
        channels=(trunk[0] if trunk else pool).input.shape[-1],
        last_pool=pool.name,
    )


def _head_size(layers):
    side = 1
    for layer in layers:
        size, stride, padded = _spatial(layer)
        if stride != 1 or (padded and size > 1):
            raise ValueError(
                'layers after the last pool must have stride 1 and padding="valid". '
                f"Received: {layer.name} of size {size}, stride {stride}"
            )
        side += size - 1
    return side


def _spatial(layer):
    """Size, stride and whether it pads, of what a layer does to each axis of the image."""
    if isinstance(layer, BoxRegressor):
        return layer.window, 1, False
    if isinstance(layer, keras.layers.Conv2D):
        sizes = [
            (k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation_rate, strict=True)
        ]
    elif isinstance(layer, (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)):
        sizes = list(layer.pool_size)
    elif not hasattr(layer, "kernel_size") and not hasattr(layer, "pool_size"):
        shape = (1, 97, 101, *layer.input.shape[3:])
        if tuple(layer.compute_output_shape(shape))[1:3] == shape[1:3]:
            return 1, 1, False
        raise ValueError(f"expected a layer that keeps the map's size. Received: {layer.name}")
    else:
        raise ValueError(
            "expected Conv2D, MaxPooling2D, AveragePooling2D or BoxRegressor, or a layer that "
            f"looks at single pixels. Received: {layer.name}, a {type(layer).__name__}"
        )
    if len({*sizes}) > 1 or len({*layer.strides}) > 1 or layer.data_format != "channels_last":
        raise ValueError(
            "layers must be square, with channels last. "
            f"Received: {layer.name} of size {sizes}, strides {layer.strides}, "
            f"{layer.data_format}"
        )
    return sizes[0], layer.strides[0], layer.padding == "same"
