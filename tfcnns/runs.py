"""The run directory: what is in it, how it is made, opened and locked.

    recipe.py            the recipe as used
    run.json             recipe name, config, flags, versions, git commit, start
    history.csv          a row per epoch
    tensorboard/         logs for TensorBoard
    checkpoints/         the newest whole states of training, to go on from
    best.weights.h5      weights of the epoch with the best `monitor`
    last.weights.h5      weights where training stopped
    model.keras          the finished model; while a finished run goes on for more epochs it is
                         named by those that it had, as model_after_10.keras
    lock                 held by the process that trains here

Opening a run needs its directory and this package, nothing else. It executes recipe.py:
open only runs whose origin you trust.
"""

import ast
import contextlib
import csv
import datetime
import fcntl
import importlib.util
import json
import logging
import os
import pathlib
import platform
import subprocess
import sys
import zipfile
import zlib
from importlib import metadata

import tfcnns
from tfcnns import paths
from tfcnns.errors import UserError
from tfcnns.files import check_can_write, left_behind, remove, sweep, temporary_name, write_whole

FUNCTIONS = ("config", "data", "model", "compile")
_SETTINGS = {
    "recipe": str,
    "config": dict,
    "flags": dict,
    "versions": dict,
}  # what run.json must hold
_IN_KERAS_FILE = ("config.json", "metadata.json", "model.weights.h5")
# What the scripts make in a run; --overwrite deletes nothing else.
_MADE = (
    *("recipe.py", "run.json", "history.csv", "tensorboard", "checkpoints", "lock"),
    *("best.weights.h5", "last.weights.h5", "model.keras", "evaluation.json", "detections.json"),
    *("plots", "report.html", "placement.png", "placement.svg"),
)
_VERSIONS_OF = ("tensorflow", "keras", "numpy", "tensorflow-datasets", "keras-cv")


class Run:
    """An existing run directory; see the module's docstring for what lies where."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.settings = _checked(json.loads((self.path / "run.json").read_text()))
        self.config = paths.from_inside(_with_tuples(self.settings["config"]), self.path)
        self._recipe = None

    @property
    def recipe(self):
        """The run's own copy of its recipe, as a module."""
        if self._recipe is None:
            recipe = load_recipe(self.path / "recipe.py")
            own = recipe.config()
            missing = {name: own[name] for name in own if name not in self.config}
            if missing:  # the recipe builds on one of this package, which has gained settings
                self.config = {**self.config, **missing}
                values = ", ".join(f"{name}={value!r}" for name, value in missing.items())
                logging.getLogger("tfcnns").warning(
                    "%s lacks settings that the recipe has; its own are taken: %s",
                    self.path / "run.json",
                    values,
                )
            self._recipe = recipe
        return self._recipe

    @property
    def name(self):
        return self.settings["recipe"]

    @property
    def checkpoints(self):
        return self.path / "checkpoints"

    @property
    def finished(self):
        return (self.path / "model.keras").exists()

    @property
    def training(self):
        """Whether a process trains here now."""
        file = self.path / "lock"
        if not file.exists():
            return False
        with open(file) as held:
            try:
                fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def check_finished(self, name):
        """Raises UserError, about the setting `name` that the run was given for, unless it is."""
        if not self.finished:
            raise UserError(
                f"{name}={self.path} isn't finished, it stands at epoch {len(self.history())} of "
                f"{self.config['epochs']}: go on with it by --resume"
            )

    def go_on(self):
        """Makes a finished run an unfinished one, which keeps the model that it had."""
        if self.finished:
            done = len(self.history())
            (self.path / "model.keras").replace(self.path / f"model_after_{done}.keras")

    def history(self):
        """history.csv as a list of dicts of numbers, one an epoch."""
        file = self.path / "history.csv"
        if not file.exists():
            return []
        with open(file, newline="") as lines:
            try:
                return [{k: _number(v) for k, v in row.items()} for row in csv.DictReader(lines)]
            except (ValueError, TypeError, csv.Error) as error:  # no number, a row of other length
                raise UserError(f"{file} is damaged: {error}") from error

    def load_model(self, weights="final", compiled=False):
        """The trained keras.Model.

        Args:
            weights: "final" reads model.keras alone; "best" and "last" build the
                recipe's model and read those weights into it.
            compiled: whether the recipe then compiles it, with a new optimiser.

        Raises:
            UserError: the file asked for isn't there (yet), or isn't whole.
        """
        import tfcnns.layers  # noqa: F401  registers them, for a model.keras with some

        recipe = self.recipe  # likewise, for what the user's own file registers
        if weights == "final":
            file = self._file("model.keras")
            model = load_keras_file(file)
        else:
            file = self._file(f"{weights}.weights.h5")
            if not self.finished:
                logging.getLogger("tfcnns").warning(
                    "%s isn't finished: its %s weights so far, at epoch %d of %d",
                    self.path,
                    weights,
                    len(self.history()),
                    self.config["epochs"],
                )
            model = build_saved(recipe, self.config)
            try:
                model.load_weights(file)
            except OSError as error:
                raise UserError(f"{file} is damaged: {error}") from error
        if compiled:
            recipe.compile(model, self.config)
        return model

    def update_config(self, config):
        """Keeps a config that a resume has changed."""
        if config != self.config:
            self.config = config
            self.settings["config"] = paths.relative_inside(config, self.path)
            write_whole(self.path / "run.json", json.dumps(self.settings, indent=2).encode())

    def _file(self, name):
        file = self.path / name
        if not file.exists():
            raise UserError(
                f"{self.path} has no {name}: its training has not come that far. Go on with: "
                f"python -m tfcnns.train --out={self.path} --resume"
            )
        return file

    def lock(self):
        """Holds the run for this process in a `with` block; see `locked`."""
        return locked(self.path)


@contextlib.contextmanager
def locked(path):
    """Holds the run at `path` for this process; the system lets go of it however that ends.

    What a process that was killed has left half-made there is removed.
    """
    path = pathlib.Path(path)
    with open(path / "lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{path} is being trained by another process") from None
        sweep(path)
        sweep(path / "checkpoints")
        yield


def open_run(path):
    """Opens a run directory.

    Raises:
        UserError: there is none at `path`, or its run.json is damaged.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        raise UserError(f"expected a run directory, but {path} is not a directory")
    if not (path / "run.json").is_file() or not (path / "recipe.py").is_file():
        raise UserError(f"{path} is not a run directory: it lacks run.json or recipe.py")
    try:
        return Run(path)
    except ValueError as error:
        raise UserError(f"{path / 'run.json'} is damaged: {error}") from error


def check_keras_file(file):
    """Raises UserError, naming it, unless a file is a whole .keras file, by its own checksums."""
    try:
        with zipfile.ZipFile(file) as archive:
            bad = archive.testzip()
            missing = set(_IN_KERAS_FILE) - set(archive.namelist())
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UserError(f"{file} is damaged: expected a whole .keras file") from error
    if bad or missing:
        why = f"{bad} in it is broken" if bad else f"{min(missing)} isn't in it"
        raise UserError(f"{file} is damaged: expected a whole .keras file, but {why}")


def load_keras_file(file):
    """The model in a .keras file, not compiled.

    Raises: UserError, naming it, if it isn't whole, or holds what Keras doesn't load: code such as
        a Lambda layer's, layers that nobody has registered.
    """
    import keras

    check_keras_file(file)
    try:
        return keras.saving.load_model(file, compile=False, safe_mode=True)
    except (ValueError, TypeError) as error:
        raise UserError(f"{file} can't be loaded: {str(error).strip()}") from error


def is_free(path):
    """Whether nothing is at `path` yet, or a directory with nothing but another's leftovers."""
    path = pathlib.Path(path)
    return not path.exists() or (path.is_dir() and set(path.iterdir()) <= set(left_behind(path)))


def check_out(path, overwrite=False):
    """Raises UserError if a new run can't be made at `path`; changes nothing."""
    path = pathlib.Path(path)
    check_can_write(path)
    if path.exists() and not path.is_dir():
        raise UserError(f"--out={path} is a file, expected a directory")
    if is_free(path):
        return
    if not overwrite:
        raise UserError(
            f"--out={path} is not empty: give another directory, or --overwrite to "
            "replace the run in it, or --resume to go on with it"
        )
    if not (path / "run.json").is_file():
        raise UserError(
            f"--overwrite replaces runs only, and {path} holds something else: no run.json is in it"
        )
    others = {p.name for p in path.iterdir()} - set(_MADE) - {p.name for p in left_behind(path)}
    if others:
        raise UserError(
            f"--overwrite deletes what belongs to a run, and {path} also holds {min(others)}: "
            "move it away first"
        )


def create_run(path, recipe, config, flags=None, overwrite=False):
    """Makes a run directory holding the recipe and everything that decides its course.

    Args:
        path: where; missing or empty, or an older run with `overwrite`.
        recipe: path of the recipe's file.
        config: dict of values as the recipe will get them.
        flags: dict of the script's other flags, kept for the record.
        overwrite: delete an older run at `path` first.
    """
    path, recipe = pathlib.Path(path), pathlib.Path(recipe)
    check_out(path, overwrite)
    settings = {
        "recipe": recipe.stem,
        "config": paths.relative_inside(config, path),
        "seed": config.get("seed"),
        "flags": flags or {},
        "versions": versions(),
        "commit": _commit(),
        "command": [sys.executable, *sys.argv],
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    text = json.dumps(settings, indent=2)  # fails on a bad config before anything is written
    source = recipe.read_bytes()
    path.mkdir(parents=True, exist_ok=True)
    with _replaced(path) if (path / "run.json").is_file() else contextlib.nullcontext():
        write_whole(path / "recipe.py", source)
        write_whole(path / "run.json", text.encode())
    return Run(path)


@contextlib.contextmanager
def _replaced(path):
    """Moves an older run aside, and deletes it once the block has made the new one.

    Whatever can't be moved, all is back in its place. Links are removed, not what they lead to.
    """
    with locked(path):
        aside, moved = path / temporary_name("replaced"), []
        entries = list(path.iterdir())
        aside.mkdir()
        try:
            for entry in entries:
                moved.append(entry.rename(aside / entry.name))
            yield
        except BaseException:
            for entry in moved:
                entry.replace(path / entry.name)
            aside.rmdir()
            raise
        remove(aside)


def load_recipe(path):
    """A recipe's file as a module.

    Raises:
        UserError: no such file, no Python, or one of the four functions is missing.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"no recipe file at {path}")
    spec = importlib.util.spec_from_file_location(f"tfcnns_recipe_{path.stem}", path)
    if spec is None:
        raise UserError(f"{path} is not a recipe: expected a Python file, ending in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where TensorFlow looks for the source of its functions
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UserError(f"{error.filename}, line {error.lineno}: {error.msg}") from error
    except ModuleNotFoundError as error:
        raise UserError(f"{path} imports {error.name}, which isn't installed") from error
    missing = [name for name in FUNCTIONS if not callable(getattr(module, name, None))]
    if missing:
        raise UserError(f"{path} is not a recipe: it has no function {', '.join(missing)}")
    return module


def check_alone(path):
    """Raises UserError if a recipe imports files that only the working directory has.

    A run keeps the recipe alone, and is opened from anywhere.
    """
    here = os.getcwd()
    for name in sorted(_imported(path) - {"tfcnns"}):
        beside = importlib.machinery.PathFinder.find_spec(name, [here])
        if beside is not None and not _is_installed(name):
            raise UserError(
                f"{path} imports {name} from {here}, which its run couldn't do from elsewhere: put "
                "it into the recipe, or install it"
            )


def _is_installed(name):
    """Whether a module is found without the working directory, which `python -m` looks in first."""
    paths_ = sys.path
    sys.path = paths_[paths_[0] in ("", os.getcwd()) :]
    try:
        return any(finder.find_spec(name, None) is not None for finder in sys.meta_path)
    finally:
        sys.path = paths_


def _imported(path):
    """Names of the outermost packages and modules that a file of Python imports."""
    nodes = list(ast.walk(ast.parse(pathlib.Path(path).read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    return {name.partition(".")[0] for name in names}


def build_saved(recipe, config):
    """`recipe.model(config)`, on one device, with a line that says so, if it is for others that
    this machine doesn't have."""
    from tfcnns.layers import MissingDevice, device_pins

    try:
        return recipe.model(config)
    except MissingDevice as missing:
        logging.getLogger("tfcnns").warning("%s; the model runs on one device instead", missing)
        with device_pins(False):
            return recipe.model(config)


def versions():
    """Versions of this package and of what its numbers depend on."""
    found = {"tfcnns": tfcnns.__version__, "python": platform.python_version()}
    for name in _VERSIONS_OF:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _commit():
    """The git commit of this package's checkout, "+" behind it if changed, or None."""
    root = pathlib.Path(tfcnns.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        git = ["git", "-C", str(root)]
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        if head.returncode:
            return None
        status = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True
        )
    except OSError:
        return None
    return head.stdout.strip() + ("+" if status.stdout.strip() else "")


def _checked(settings):
    """What run.json holds; raises ValueError if it lacks something that a run needs."""
    if not isinstance(settings, dict):
        raise ValueError("expected an object")
    for name, kind in _SETTINGS.items():
        if not isinstance(settings.get(name), kind):
            raise ValueError(f"it lacks {name!r}" if name not in settings else f"{name!r} is wrong")
    return settings


def _with_tuples(config):
    """JSON has no tuples; recipes use no lists."""

    def convert(value):
        return tuple(map(convert, value)) if isinstance(value, list) else value

    return {name: convert(value) for name, value in config.items()}


def _number(text):
    try:
        return int(text)
    except ValueError:
        return float(text) if text else None
