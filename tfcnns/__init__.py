"""Four papers that started modern vision, as Keras layers, models and recipes.

`tfcnns.layers` and `tfcnns.models` build networks; `tfcnns.pipelines` feeds them;
`python -m tfcnns.train --list` shows what can be trained. Importing this package
alone imports nothing heavy: Keras and TensorFlow come with the parts that use them.
"""

import sys

__version__ = "0.1.0"

_by_name = sys.argv[:1] == ["-m"] and any(w.startswith("tfcnns.") for w in sys.orig_argv)
_by_command = sys.argv and sys.argv[0].rpartition("/")[2].startswith("tfcnns-")

if _by_name or _by_command:
    # A script of this package starts, and hasn't yet imported what it needs.
    from tfcnns import interruption

    interruption.end_at_once()
