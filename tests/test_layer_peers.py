"""LRN and MaxoutConv against torch, forward and backward."""

import numpy as np
import pytest
import tensorflow as tf

from tfcnns.layers import LRN, MaxoutConv

torch = pytest.importorskip("torch", reason="needs torch: pip install -e .[peers]")


def differentiate(layer, x, upstream, weights=()):
    """Returns y and the gradients of sum(y * upstream) in x and the weights."""
    sources = [tf.constant(x), *weights]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        y = layer(sources[0])
    return y, *tape.gradient(y, sources, output_gradients=tf.constant(upstream))


def to_torch(x, *order):
    return torch.tensor(np.transpose(x, order) if order else x, requires_grad=True)


@pytest.mark.parametrize("channels", [3, 96, 300])
@pytest.mark.parametrize(
    "settings", [(2, 2.0, 1e-4, 0.75), (4, 1.0, 0.05, 0.5), (1, 1.0, 0.1, 1.2)]
)
def test_lrn(settings, channels):
    radius, bias, alpha, beta = settings
    rng = np.random.default_rng(0)
    x, upstream = rng.normal(scale=20, size=(2, 2, 5, 4, channels)).astype("float32")
    y, dx = differentiate(LRN(*settings), x, upstream)

    size = 2 * radius + 1
    theirs = torch.nn.LocalResponseNorm(size, alpha * size, beta, bias)  # divides alpha by size
    their_x = to_torch(x, 0, 3, 1, 2)
    their_y = theirs(their_x)
    their_y.backward(to_torch(upstream, 0, 3, 1, 2))
    np.testing.assert_allclose(y, their_y.detach().permute(0, 2, 3, 1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(dx, their_x.grad.permute(0, 2, 3, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pieces", [1, 2, 5])
@pytest.mark.parametrize("settings", [{}, {"strides": 2}, {"dilation_rate": 2}], ids=str)
def test_maxout_conv(settings, pieces):
    rng = np.random.default_rng(0)
    layer = MaxoutConv(6, 3, pieces, **settings)
    x = rng.normal(size=(2, 9, 8, 4)).astype("float32")
    layer.build(x.shape)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    kernel, bias = layer.get_weights()
    upstream = rng.normal(size=layer.compute_output_shape(x.shape)).astype("float32")
    weights = [w.value for w in layer.weights]
    y, dx, dkernel, dbias = differentiate(layer, x, upstream, weights)

    their_x, their_kernel = to_torch(x, 0, 3, 1, 2), to_torch(kernel, 3, 2, 0, 1)
    their_bias = to_torch(bias)
    z = torch.nn.functional.conv2d(
        their_x, their_kernel, their_bias, layer.strides, dilation=layer.dilation_rate
    )
    their_y = z.unflatten(1, (6, pieces)).amax(2)
    their_y.backward(to_torch(upstream, 0, 3, 1, 2))
    for ours, theirs in [
        (y, their_y.detach().permute(0, 2, 3, 1)),
        (dx, their_x.grad.permute(0, 2, 3, 1)),
        (dkernel, their_kernel.grad.permute(2, 3, 1, 0)),
        (dbias, their_bias.grad),
    ]:
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
