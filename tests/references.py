"""The layers in NumPy, written as loops from the papers' equations.

They are slow and obvious on purpose, know nothing of this package, and work channels last in
float64. Arguments carry the papers' symbols.
"""

import numpy as np


def lrn(a, n=5, k=2.0, alpha=1e-4, beta=0.75):
    """AlexNet, section 3.3: a is (..., N), the sum runs over n maps around map i."""
    b = np.empty(a.shape)
    maps = a.shape[-1]
    for i in range(maps):
        total = np.zeros(a.shape[:-1])
        for j in range(max(0, i - n // 2), min(maps - 1, i + n // 2) + 1):
            total += np.asarray(a[..., j], "float64") ** 2
        b[..., i] = a[..., i] / (k + alpha * total) ** beta
    return b


def maxout_dense(x, w, b, zero=False):
    """Maxout, section 3: x is (N, d), w is d x m x k, b is m x k; returns (N, m)."""
    _, m, k = w.shape
    h = np.empty((len(x), m))
    for i in range(m):
        z = [x @ w[:, i, j] + b[i, j] for j in range(k)]
        h[:, i] = np.max(z + [np.zeros(len(x))] if zero else z, axis=0)
    return h


def conv2d(x, kernel, strides=(1, 1), padding="valid", dilation=(1, 1)):
    """x is (N, H, W, C), kernel is (kh, kw, C, F); "same" pads the odd pixel right and bottom."""
    kh, kw, _, filters = kernel.shape
    reach = ((kh - 1) * dilation[0] + 1, (kw - 1) * dilation[1] + 1)
    if padding == "same":
        margins = []
        for size, length, stride in zip(x.shape[1:3], reach, strides, strict=True):
            total = max((-(-size // stride) - 1) * stride + length - size, 0)
            margins.append((total // 2, total - total // 2))
        x = np.pad(x, [(0, 0), *margins, (0, 0)])
    h = (x.shape[1] - reach[0]) // strides[0] + 1
    w = (x.shape[2] - reach[1]) // strides[1] + 1
    z = np.zeros((len(x), h, w, filters))
    for row in range(h):
        for column in range(w):
            top, left = row * strides[0], column * strides[1]
            patch = x[:, top : top + reach[0] : dilation[0], left : left + reach[1] : dilation[1]]
            z[:, row, column] = np.einsum("nijc,ijcf->nf", patch, kernel)
    return z


def maxout_conv(x, w, b, zero=False, **conv):
    """w is (kh, kw, C, m, k), b is (m, k) or (h, w, m, k): the max over k convolutions."""
    k = w.shape[-1]
    z = [conv2d(x, w[..., j], **conv) + b[..., j] for j in range(k)]
    return np.max(z + [np.zeros(z[0].shape)] if zero else z, axis=0)


def mlpconv(x, weights, last_relu=True, **conv):
    """NIN, section 3.1: weights holds a pair (kernel, bias) for every layer of the perceptron."""
    f = x
    for n, (kernel, bias) in enumerate(weights):
        f = conv2d(f, kernel, **(conv if n == 0 else {})) + bias
        if last_relu or n < len(weights) - 1:
            f = np.maximum(f, 0)
    return f


def numerical_gradient(function, x, step=1e-6):
    """Central differences of the scalar `function` at x, in float64."""
    x = np.array(x, "float64")
    gradient = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        there = x.copy()
        there[index] += step
        here = x.copy()
        here[index] -= step
        gradient[index] = (function(there) - function(here)) / (2 * step)
    return gradient
