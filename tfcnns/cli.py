"""What every script shares: flags, quiet start, one clear line for a mistake, exit codes.

A script defines its flags in a `flags.FlagValues` of its own, so that `--help` shows
them and nothing else, and ends with `run = script(main, FLAGS)`.
"""

import contextlib
import logging
import os
import re
import sys
import tempfile
import textwrap
import warnings

from absl import flags

from tfcnns import interruption
from tfcnns.errors import UserError
from tfcnns.mistakes import mistake
from tfcnns.paths import require_utf8

_THEME = "theme: "  # what tells a theme from the module where a flag without one is defined
_EVERY_SCRIPT = "In every script"  # the theme that stands last
_COLUMN = 27  # where the meanings of flags begin in --help


def new_flags():
    """A set of flags holding the two that every script has: --help and --verbosity."""
    values = flags.FlagValues()
    own = themed(values, _EVERY_SCRIPT)
    flags.DEFINE_boolean("help", False, "show this text", short_name="h", **own)
    flags.DEFINE_integer(
        "verbosity",
        0,
        "0: what this script says and errors; 1: TensorFlow's own messages too",
        lower_bound=0,
        upper_bound=1,
        **own,
    )
    return values


def themed(values, theme):
    """Arguments for flags.DEFINE_...: the set that a flag goes to, and its heading in --help.

    Flags that are defined with `flag_values=values` alone stand first, below "Flags".
    """
    return {"flag_values": values, "module_name": _THEME + theme}


def define_data_flags(values):
    """The flags of scripts that read a data set: where it lies, and whether it may be fetched."""
    own = themed(values, "Data")
    flags.DEFINE_string(
        "data_dir",
        None,
        "directory of data sets that tensorflow-datasets has prepared; $TFDS_DATA_DIR, or else "
        "~/tensorflow_datasets",
        **own,
    )
    flags.DEFINE_boolean("download", False, "fetch a missing data set", **own)


def with_data_flags(config, values):
    """A recipe's config with the data flags that were given.

    Raises:
        UserError: one was given, and the recipe reads no such data.
    """
    given = {"data_dir": values.data_dir, "download": values.download or None}
    given = {name: value for name, value in given.items() if value is not None}
    for name in given:
        if name not in config:
            raise UserError(f"--{name}: the recipe reads no data set from a directory")
    return {**config, **given}


def script(main, values, usage):
    """Returns run(argv=None), the entry point of a script and of its console command.

    Args:
        main: function of the remaining arguments, returning None or an exit code.
            It imports what is heavy itself, after the flags are known.
        values: the script's `FlagValues`.
        usage: what stands before the flags in --help.
    """

    def run(argv=None):
        if argv is None:  # a process of our own
            interruption.listen()
        argv = list(sys.argv if argv is None else argv)
        for name in values:  # a second call in one process starts from the defaults too
            values[name].unparse()
        try:
            for argument in argv:
                require_utf8(argument)
            rest = values(argv)[1:]
            code = print(help_text(usage, values)) if values.help else main(rest)
            if sys.stdout:
                sys.stdout.flush()  # or it would be said too late that nobody has got it
        except KeyboardInterrupt:
            code = interruption.CODE
        except BrokenPipeError:  # whoever read our output, such as head, has had enough
            code = 141
        except Exception as error:
            code = 2
            said = str(error) if isinstance(error, flags.Error) else mistake(error)
            if said is not None:
                print(f"error: {' '.join(said.split())}", file=sys.stderr)
            elif not interruption.asked():
                raise
        _forget_output()
        sys.exit(interruption.CODE if interruption.asked() else code)

    return run


def _forget_output():
    """What can't be written to standard output isn't tried again when the process ends."""
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def help_text(usage, values):
    """The help of one script: usage, then its flags by theme, each with default and meaning."""
    themes = {"Flags": []}
    for module, group in values.flags_by_module_dict().items():
        theme = module.removeprefix(_THEME) if module.startswith(_THEME) else "Flags"
        themes.setdefault(theme, []).extend(group)
    themes[_EVERY_SCRIPT] = themes.pop(_EVERY_SCRIPT)
    lines = [usage.strip()]
    for theme, group in themes.items():
        if group:
            lines += ["", f"{theme}:", *(_flag_text(flag) for flag in group)]
    return "\n".join(lines)


def _flag_text(flag):
    """One flag: how it is written, what it means, what holds without it."""
    boolean = flag.flag_type() == "bool"
    kind = {"int": "N", "float": "X"}.get(flag.flag_type(), "...")
    shown = f"--[no]{flag.name}" if boolean else f"--{flag.name}={kind}"
    shown = "-h, --help" if flag.name == "help" else shown
    meaning = flag.help.partition(";\n")[0]  # absl adds a line to those that may be repeated
    choices = re.match(r"<(.+?)>: ", meaning)  # and what may be chosen, without a space
    if choices:
        meaning = f"{choices[1].replace('|', ' | ')}: {meaning[choices.end() :]}"
    default = {True: "on", False: None}[flag.default] if boolean else flag.default
    default = ",".join(default) if isinstance(default, list) else default
    if default not in (None, [], ""):
        meaning += f" (default: {default})"
    indent = " " * _COLUMN
    text = textwrap.fill(meaning, 98, initial_indent=indent, subsequent_indent=indent)
    shown = f"  {shown}"
    return shown + text[len(shown) :] if len(shown) < _COLUMN - 1 else f"{shown}\n{text}"


def progress_bar(total, what):
    """A function of the number done, which keeps a bar on a terminal and is silent elsewhere.

    total: how many there are. what: their name, such as "images".
    """

    def show(done):
        if sys.stderr.isatty():
            filled = 30 * done // max(total, 1)
            bar = "=" * filled + "." * (30 - filled)
            end = "\n" if done == total else ""
            print(f"\r[{bar}] {done}/{total} {what}", end=end, file=sys.stderr, flush=True)

    return show


class Failed:
    """Images that can't be read: each is named when it is met, and all once more at the end."""

    def __init__(self, total):
        self._files, self._total = [], total

    def add(self, file, error):
        self._files.append(file)
        print(f"error: {error}", file=sys.stderr)

    def end(self):
        """The script's exit code."""
        if not self._files:
            return 0
        count = f"{len(self._files)} of {self._total}"
        print(f"error: {count} images couldn't be read:", file=sys.stderr)
        for file in self._files:
            print(f"  {file}", file=sys.stderr)
        return 1


def start_tensorflow(verbosity):
    """Imports TensorFlow, in silence if `verbosity` is 0; heavy imports come after it.

    Keras then has channels last, whatever its own settings say: so are the images of all scripts.

    Raises: UserError if Keras has another backend, which may not even be installed.
    """
    _require_backend(os.environ.get("KERAS_BACKEND") or "tensorflow")
    if not verbosity:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        warnings.simplefilter("ignore")
        # The level above doesn't yet hold for what is logged while TensorFlow is imported
        # (its oneDNN greeting, the search for CUDA).
        with _stderr_to_file():
            import tensorflow as tf
        tf.get_logger().setLevel(logging.ERROR)
        logging.getLogger("absl").setLevel(logging.ERROR)
    import keras

    _require_backend(keras.backend.backend())  # keras.json may name another
    keras.config.set_image_data_format("channels_last")


def _require_backend(name):
    if name != "tensorflow":
        raise UserError(
            f"expected Keras' TensorFlow backend, which KERAS_BACKEND names. Received: {name}"
        )


@contextlib.contextmanager
def _stderr_to_file():
    """Keeps what C++ and Python write to standard error; shows it if the block fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            if not interruption.asked():  # which wants silence
                os.dup2(kept, 2)
            os.close(kept)
            if failed:
                file.seek(0)
                sys.stderr.write(file.read().decode(errors="replace"))
