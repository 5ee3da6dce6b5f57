"""Initializers for layers made of several convolutions, none of which may start like another."""

from collections import Counter

import numpy as np


def one_each(initializers, depth):
    """An initializer of its own for each layer.

    A Keras initializer, seeded or not, returns the same values each time it is called for the same
    shape, so that two 1x1 layers of equal size would start as twins.
    """
    if not isinstance(initializers, (tuple, list)):
        initializers = [initializers] * depth
    uses = Counter()
    own = []
    for initializer in initializers:
        config = getattr(initializer, "get_config", dict)()
        if "seed" in config and config["seed"] is None:
            initializer = initializer.clone()  # draws a new seed
        elif isinstance(config.get("seed"), int):
            seed = config["seed"]
            if uses[seed]:
                derived = int(np.random.SeedSequence([seed, uses[seed]]).generate_state(1)[0])
                initializer = type(initializer).from_config({**config, "seed": derived})
            uses[seed] += 1
        own.append(initializer)
    return own
