"""NumPy references for preprocessing, pooling and response norms, written as loops from equations.

They import nothing of tfcnns, work in float64 and are slow: give them small arrays.
"""

import itertools

import numpy as np


def global_contrast_normalize(
    images, scale, subtract_mean=True, use_std=False, sqrt_bias=0.0, min_divisor=1e-8
):
    """(x - mean) * scale / norm for each image of (N, H, W, C)."""
    out = np.zeros(images.shape)
    for n, image in enumerate(images.astype("float64")):
        mean = image.sum() / image.size
        centred = image - mean
        x = centred if subtract_mean else image
        variance = (centred**2).sum() / max(image.size - 1, 1)
        divisor = np.sqrt(sqrt_bias + (variance if use_std else (x**2).sum())) / scale
        out[n] = x / (divisor if divisor >= min_divisor else 1.0)
    return out


def gaussian_window(size, sigma=2.0):
    window = np.zeros((size, size))
    for y, x in np.ndindex(size, size):
        window[y, x] = np.exp(-((y - size // 2) ** 2 + (x - size // 2) ** 2) / (2 * sigma**2))
    return window / window.sum()


def weighted_sum_around(plane, window):
    """sum_q w(q) x(p + q) at every p of one plane, x zero outside."""
    height, width = plane.shape
    reach = len(window) // 2
    out = np.zeros(plane.shape)
    for y, x in np.ndindex(height, width):
        for a, b in itertools.product(range(-reach, reach + 1), repeat=2):
            if 0 <= y + a < height and 0 <= x + b < width:
                out[y, x] += window[a + reach, b + reach] * plane[y + a, x + b]
    return out


def local_contrast_normalize(images, kernel_size, threshold):
    """(x - local mean) / max(local RMS, its mean, threshold), each channel of (N, H, W, C)."""
    window = gaussian_window(kernel_size)
    out = np.zeros(images.shape)
    for n, c in np.ndindex(images.shape[0], images.shape[3]):
        plane = images[n, :, :, c].astype("float64")
        spread = np.sqrt(weighted_sum_around(plane**2, window))
        divisor = np.maximum(np.maximum(spread, spread.mean()), threshold)
        out[n, :, :, c] = (plane - weighted_sum_around(plane, window)) / divisor
    return out


def zca(images, filter_bias):
    """Mean and whitening matrix of (N, H, W, C), one outer product an image."""
    rows = images.reshape(len(images), -1).astype("float64")
    mean = rows.mean(axis=0)
    covariance = np.zeros((rows.shape[1],) * 2)
    for row in rows - mean:
        covariance += np.outer(row, row) / len(rows)
    eigenvalues, vectors = np.linalg.eigh(covariance)
    whitening = np.zeros(covariance.shape)
    for eigenvalue, vector in zip(eigenvalues, vectors.T, strict=True):
        whitening += np.outer(vector, vector) / np.sqrt(eigenvalue + filter_bias)
    return mean, whitening


def same_map_norm(x, size, scale, power, bias):
    """Every window from -(size // 2) on, over (N, H, W, C); zero outside."""
    x = x.astype("float64")
    n, height, width, c = x.shape
    start = -(size // 2)
    out = np.zeros(x.shape)
    for i, y, j, k in np.ndindex(n, height, width, c):
        total = 0.0
        for a, b in itertools.product(range(start, start + size), repeat=2):
            if 0 <= y + a < height and 0 <= j + b < width:
                total += x[i, y + a, j + b, k] ** 2
        out[i, y, j, k] = x[i, y, j, k] / (bias + scale / size**2 * total) ** power
    return out


def ceil_pool(x, pool, step, reduce):
    """Windows from the first pixel on, until every pixel has been seen; cut off at the edge."""
    starts = []
    for size, length, stride in zip(x.shape[1:3], pool, step, strict=True):
        line = [0]
        while line[-1] + length < size:
            line.append(line[-1] + stride)
        starts.append(line)
    out = np.zeros((len(x), len(starts[0]), len(starts[1]), x.shape[3]))
    for i, top in enumerate(starts[0]):
        for j, left in enumerate(starts[1]):
            window = x[:, top : top + pool[0], left : left + pool[1]].astype("float64")
            out[:, i, j] = reduce(window, axis=(1, 2))
    return out


def offset_max_pool(x, p):
    """The equation, one output at a time."""
    n, height, width, c = x.shape
    h, w = (height - p + 1) // p, (width - p + 1) // p
    out = np.zeros((n * p * p, h, w, c), x.dtype)
    for m, dy, dx, i, j in np.ndindex(n, p, p, h, w):
        top, left = p * i + dy, p * j + dx
        out[(m * p + dy) * p + dx, i, j] = x[m, top : top + p, left : left + p].max(axis=(0, 1))
    return out


def limit_column_norms(kernel, limit):
    """Scales down whatever column of the kernel, as (inputs, outputs), is longer than `limit`."""
    columns = kernel.reshape(-1, kernel.shape[-1]).astype("float64").copy()
    for column in columns.T:
        norm = np.sqrt((column**2).sum())
        if norm > limit:
            column *= limit / norm
    return columns.reshape(kernel.shape)
