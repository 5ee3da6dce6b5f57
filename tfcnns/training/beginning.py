"""What happens to a model once, when its training begins."""

import keras


class Beginning(keras.callbacks.Callback):
    """Calls `begin` when training begins, but not when a run is resumed that has done so.

    Subclasses define `begin(self)`, with the model in `self.model`.
    """

    def __init__(self):
        super().__init__()
        self.done = False

    def on_train_begin(self, logs=None):
        if not self.done:
            self.begin()
            self.done = True

    def get_state(self):
        return {"done": self.done}

    def set_state(self, state):
        self.done = state["done"]
