"""From a run to what serves it: SavedModel, LiteRT and ONNX, each checked before it is published.

`python -m tfcnns.export` is the command; docs/export.md tells what it writes.
"""
