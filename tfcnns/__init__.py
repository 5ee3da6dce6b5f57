"""Four papers that started modern vision, as Keras layers, models and recipes.

`tfcnns.layers` and `tfcnns.models` build networks; `tfcnns.pipelines` feeds them;
`python -m tfcnns.train --list` shows what can be trained. Importing this package
alone imports nothing heavy: Keras and TensorFlow come with the parts that use them.
"""

__version__ = "0.1.0"
