"""The papers' networks as functions that return a `keras.Model`, one file a paper."""

from tfcnns.models.nin import nin

__all__ = ["nin"]
