"""Real handwriting that is always there: 1,797 digits that ship with scikit-learn.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI machine
learning repository, 1998 (its test part). 13 people wrote them; each 32x32 bitmap was
reduced to 8x8 counts of ink, 0 to 16. Nothing says who wrote which digit, so the same
hands appear in train, validation and test: errors here are lower than on new writers.
"""

import numpy as np
from sklearn.datasets import load_digits as read_digits

from tfcnns.errors import UserError

from .transforms import resize

CLASS_NAMES = tuple("0123456789")
HELD_OUT_PER_CLASS = {"test": 40, "validation": 15}
SPLITS = ("train", "validation", "test")


def load_digits(split, size=8):
    """One part of the digits, always the same samples in the same order.

    Args:
        split: "train" (1,247 digits), "validation" (150, 15 of each class) or "test"
            (400, 40 of each class).
        size: side of the square images in pixels; other than 8 they are resized as
            `transforms.resize` does.

    Returns: images, uint8 (N, size, size, 1), white ink (255) on black (0), and labels,
        int64 (N,), 0 to 9.
    Raises: UserError for an unknown split or a size below 1.
    """
    if split not in SPLITS:
        raise UserError(f"split must be one of {', '.join(SPLITS)}. Received: split={split!r}")
    if size < 1:
        raise UserError(f"size must be at least 1 pixel. Received: size={size}")
    pixels, labels = read_digits(return_X_y=True)
    rows = split_rows(labels)[split]
    ink = pixels[rows].reshape(-1, 8, 8, 1)
    images = np.rint(ink * (255 / 16)).astype(np.uint8)
    if size != 8:
        images = resize(images, size, size).numpy()
    return images, labels[rows].astype(np.int64)


def split_rows(labels):
    """{split: rows of scikit-learn's table, ascending}, drawn class by class."""
    # RandomState, not Generator: NumPy froze its stream, so the split is fixed for ever.
    random = np.random.RandomState(2012)
    rows = {name: [] for name in SPLITS}
    for label in range(10):
        shuffled = random.permutation(np.flatnonzero(labels == label))
        start = 0
        for name, count in HELD_OUT_PER_CLASS.items():
            rows[name].extend(shuffled[start : start + count])
            start += count
        rows["train"].extend(shuffled[start:])
    return {name: np.sort(chosen) for name, chosen in rows.items()}
