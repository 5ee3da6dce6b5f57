"""Worker processes train to what one process does, and survive the death of one of them.

All processes are real; those of one training share this machine.
"""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from tfcnns import launch, runs, train
from tfcnns.errors import UserError
from tfcnns.training import cluster, peers

ROOT = pathlib.Path(__file__).parents[1]

# Batches of 128 out of 1,247 digits: the last has 95, which two workers can't share equally.
RECIPE = """
import json, os
import keras
from tfcnns.recipes import nin_digits
from tfcnns.training.paper_sgd import PaperSGD

PAPER = {}

def config():
    return {**nin_digits.config(), "epochs": 2, "size": 8, "batch_size": 128}

data = nin_digits.data

def kill_at(now):
    worker, step, number = map(int, os.environ.get("KILL", "-1,0,0").split(","))
    task = json.loads(os.environ.get("TF_CONFIG", '{"task": {"index": 0}}'))["task"]
    if now == step and task["index"] == worker:
        os.kill(os.getpid(), number)

def model(config):
    from tfcnns.models import nin
    kill_at(0)
    rescale = keras.layers.Rescaling(1 / 255)
    return nin((8, 8, 1), ((8, 8), (8, 10)), (3, 3), preprocessing=[rescale], dropout=0.5)

class Kill(keras.callbacks.Callback):
    count = 0
    def on_train_batch_end(self, batch, logs=None):
        self.count += 1
        kill_at(self.count)

def compile(model, config):
    model.compile(PaperSGD(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return [Kill()]
"""
STEPS = 10


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    file = tmp_path_factory.mktemp("recipe") / "mine.py"
    file.write_text(RECIPE)
    return file


def launched(*flags, kill=None, number=signal.SIGKILL):
    """`python -m tfcnns.launch` with two workers; `kill`: a worker and a step."""
    extra = {"KILL": "{},{},{}".format(*kill, int(number))} if kill else {}
    return subprocess.run(
        [sys.executable, "-m", "tfcnns.launch", "--workers=2", "--", *map(str, flags)],
        cwd=ROOT,
        env={**os.environ, **extra},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory, recipe):
    out = tmp_path_factory.mktemp("alone") / "run"
    with pytest.raises(SystemExit) as left:
        train.run(["train", f"--recipe={recipe}", f"--out={out}"])
    assert not left.value.code
    return runs.open_run(out)


def assert_equal_within(run, other, tolerance):
    for a, b in zip(run.load_model().weights, other.load_model().weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)
    for row, expected in zip(run.history(), other.history(), strict=True):
        for name in set(row) - {"seconds"}:
            assert row[name] == pytest.approx(expected[name], abs=tolerance), name


def test_a_killed_worker_is_named_and_the_same_command_goes_on(tmp_path, recipe, alone):
    out = tmp_path / "run"
    command = (f"--recipe={recipe}", f"--out={out}", "--checkpoint_steps=4", "--resume")
    killed = launched(*command, kill=(1, STEPS + 6))
    assert killed.returncode == 128 + signal.SIGKILL, killed.stdout
    assert "worker 1 was killed by SIGKILL\n" in killed.stdout
    assert "[0] error: worker 1 (127.0.0.1:" in killed.stdout
    assert "is gone; start all workers again" in killed.stdout
    assert "the others did not end within" not in killed.stdout  # 60 s
    assert "Traceback" not in killed.stdout
    assert not (out / "model.keras").exists()

    finished = launched(*command)
    assert finished.returncode == 0, finished.stdout
    assert "going on from step-00000012" in finished.stdout
    assert not [line for line in finished.stdout.splitlines() if not line.startswith("[0] ")]
    assert_equal_within(runs.open_run(out), alone, 1e-6)


@pytest.mark.slow
def test_equal_to_the_bit_whichever_worker_is_killed_or_asked_to_stop(tmp_path, recipe, alone):
    start = (f"--recipe={recipe}", "--checkpoint_steps=4", "--resume")
    assert launched(*start, f"--out={tmp_path}/whole").returncode == 0
    whole = runs.open_run(tmp_path / "whole")
    assert_equal_within(whole, alone, 1e-6)
    for number, worker in ((signal.SIGKILL, 0), (signal.SIGTERM, 1), (signal.SIGINT, 0)):
        out = tmp_path / f"{number.name}-{worker}"
        stopped = launched(*start, f"--out={out}", kill=(worker, STEPS + 6), number=number)
        assert stopped.returncode == 128 + number, stopped.stdout
        assert "Traceback" not in stopped.stdout
        if number != signal.SIGKILL:
            assert "[0] stopped after step 16; go on with:" in stopped.stdout
        assert launched(*start, f"--out={out}").returncode == 0
        assert_equal_within(runs.open_run(out), whole, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flag", "value"), [("precision", "mixed_float16"), ("gradient_dtype", "bfloat16")]
)
def test_killed_in_16_bits_it_goes_on_to_the_bit(tmp_path, recipe, alone, flag, value):
    start = (f"--recipe={recipe}", "--checkpoint_steps=4", "--resume", f"--{flag}={value}")
    assert launched(*start, f"--out={tmp_path}/whole").returncode == 0
    killed = launched(*start, f"--out={tmp_path}/parts", kill=(1, STEPS + 6))
    assert killed.returncode == 137, killed.stdout
    assert launched(*start, f"--out={tmp_path}/parts").returncode == 0
    whole, parts = (runs.open_run(tmp_path / name) for name in ("whole", "parts"))
    assert parts.settings["flags"][flag] == value
    assert_equal_within(parts, whole, 0)
    # Gradients are rounded by up to 2^-9 of themselves, and weights are of order one.
    assert_equal_within(parts, alone, 0.01)
    with pytest.raises(AssertionError):
        assert_equal_within(parts, alone, 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("worker", [0, 1])
def test_killed_while_the_model_is_built(tmp_path, recipe, worker):
    killed = launched(f"--recipe={recipe}", f"--out={tmp_path}/run", "--resume", kill=(worker, 0))
    assert killed.returncode == 128 + signal.SIGKILL, killed.stdout
    assert f"[{1 - worker}] error: worker {worker} (127.0.0.1:" in killed.stdout
    assert "Traceback" not in killed.stdout


@pytest.mark.slow
def test_each_worker_is_restarted_by_itself(tmp_path, recipe, alone):
    addresses = launch.free_addresses(2)

    def start(worker):
        flags = [f"--recipe={recipe}", f"--out={tmp_path}/run", "--checkpoint_steps=4", "--resume"]
        with open(tmp_path / f"{worker}.log", "a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tfcnns.train", "--strategy=multiworker", *flags],
                cwd=ROOT,
                env={**launch.worker_environment(addresses, worker), "KILL": f"1,{STEPS + 6},9"},
                stdout=log,
                stderr=log,
            )

    def ends(worker):
        """Exit codes of a worker that is started anew, at once, until it ends well."""
        codes = []
        while not codes or (codes[-1] and len(codes) < 5):
            with start(worker) as process:
                try:
                    codes.append(process.wait(120))
                finally:
                    process.kill()
        return codes

    with concurrent.futures.ThreadPoolExecutor() as pool:
        survivor, killed = pool.map(ends, (0, 1))
    said = (tmp_path / "0.log").read_text()
    assert killed[0] == -signal.SIGKILL
    assert killed[-1] == 0, (tmp_path / "1.log").read_text()
    assert survivor == [peers.LOST, 0], said
    assert f"error: worker 1 ({addresses[1]}) is gone" in said
    assert_equal_within(runs.open_run(tmp_path / "run"), alone, 1e-6)


@pytest.mark.slow
def test_two_workers_go_on_as_one_process_and_it_as_two(tmp_path, recipe, alone):
    out = tmp_path / "run"
    start = (f"--recipe={recipe}", f"--out={out}", "--checkpoint_steps=4", "--resume")
    assert launched(*start, kill=(1, 6)).returncode == 137
    stopped = subprocess.run(  # in mid-epoch again
        [sys.executable, "-m", "tfcnns.train", *start],
        cwd=ROOT,
        env={**os.environ, "KILL": f"0,{STEPS},{int(signal.SIGTERM)}"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert stopped.returncode == 128 + signal.SIGTERM, stopped.stderr
    assert "going on from step-00000004" in stopped.stdout
    assert "stopped after step 14" in stopped.stdout
    finished = launched(*start)
    assert "going on from step-00000014" in finished.stdout
    assert_equal_within(runs.open_run(out), alone, 1e-6)


USER = """
import sys
import keras, numpy as np, tensorflow as tf
from tfcnns.layers import MLPConv
from tfcnns.training import PaperSGD, make_strategy
from tfcnns.training.crew import split

strategy = make_strategy(sys.argv[1])
rng = np.random.RandomState(0)
x, y = rng.rand(7, 6, 6, 2).astype("float32"), rng.randint(0, 3, 7)

def dataset():
    whole = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    if sys.argv[1] == "one":
        return whole
    def own(context):
        n = context.num_input_pipelines
        return split(whole, n).shard(n, context.input_pipeline_id)
    return strategy.distribute_datasets_from_function(own)

results = {}
for kind in ("float32", "mixed_float16"):  # several models in one process
    keras.config.set_dtype_policy(kind)
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = keras.Sequential([
            keras.Input((6, 6, 2)), MLPConv((4, 3), 3), keras.layers.GlobalAveragePooling2D(),
            keras.layers.Activation("softmax", dtype="float32"),
        ])
        model.compile(PaperSGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(dataset(), validation_data=dataset(), epochs=2, shuffle=False, verbose=0)
    results[kind] = np.concatenate([
        *[w.ravel() for w in model.get_weights()], *history.history.values(),
        list(model.evaluate(dataset(), verbose=0, return_dict=True).values()),
        model.predict(dataset(), verbose=0).ravel(),
    ])
np.savez(sys.argv[2], **results)
"""


@pytest.mark.slow
def test_fit_evaluate_and_predict_of_a_users_own_code(tmp_path):
    addresses = launch.free_addresses(2)

    def start(strategy, worker):
        return subprocess.Popen(
            [sys.executable, "-c", USER, strategy, str(tmp_path / f"{strategy}{worker}.npz")],
            cwd=ROOT,
            env={**launch.worker_environment(addresses, worker), "TF_CPP_MIN_LOG_LEVEL": "3"},
            stderr=subprocess.PIPE,
            text=True,
        )

    processes = [start("multiworker", 0), start("multiworker", 1), start("one", 0)]
    for process in processes:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
    first, second, alone = (
        np.load(tmp_path / f"{name}.npz") for name in ("multiworker0", "multiworker1", "one0")
    )
    for kind, tolerance in (("float32", 1e-6), ("mixed_float16", 5e-3)):
        np.testing.assert_array_equal(first[kind], second[kind])
        np.testing.assert_allclose(first[kind], alone[kind], rtol=0, atol=tolerance)


def test_who_is_who_in_tf_config():
    task = {"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"]}}
    task["task"] = {"type": "worker", "index": 1}
    found = cluster.this({"TF_CONFIG": json.dumps(task)})
    assert (found.addresses, found.worker, found.is_chief) == (("a:1", "b:1", "c:1"), 2, False)
    task["task"] = {"type": "chief", "index": 0}
    assert cluster.this({"TF_CONFIG": json.dumps(task)}).is_chief


def config(job, index, **jobs):
    return json.dumps({"cluster": jobs, "task": {"type": job, "index": index}})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"cluster": {"worker": ["a:1"]}}',
        config("worker", 0, worker="a:1"),
        config("worker", 0, worker=["a", "b"]),
        config("worker", 0, worker=[1, 2]),
        config("worker", 1, worker=["a:1"]),
        config("worker", -1, chief=["a:1"], worker=["b:1"]),
        config("chief", 1, chief=["a:1"], worker=["b:1"]),
        config("evaluator", 0, worker=["a:1"]),
    ],
)
def test_a_bad_tf_config_is_one_line(text):
    with pytest.raises(UserError, match="TF_CONFIG"):
        cluster.this({"TF_CONFIG": text})


def alone_in(folder, recipe, addresses, worker):
    """A worker that is started by hand, in a directory of its own, and writes to run/ there."""
    folder.mkdir()
    flags = ("--strategy=multiworker", f"--recipe={recipe}", "--out=run", "--epochs=1")
    return subprocess.Popen(
        [sys.executable, "-m", "tfcnns.train", *flags],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "TF_CONFIG": config("worker", worker, worker=addresses),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_only_the_chief_writes(tmp_path, recipe):
    addresses = launch.free_addresses(2)
    processes = [alone_in(tmp_path / str(w), recipe, addresses, w) for w in (0, 1)]
    said = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert runs.open_run(tmp_path / "0" / "run").finished
    assert list((tmp_path / "1").iterdir()) == []
    assert said[1] == ("", "")


def test_a_port_that_is_taken_is_one_line(tmp_path, recipe):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        process = alone_in(tmp_path / "0", recipe, [address], 0)
        _, said = process.communicate(timeout=300)
    assert process.returncode == 2
    (line,) = said.splitlines()
    assert line.startswith(f"error: this worker can't listen at {address}, its address in TF_CON")
    assert list((tmp_path / "0").iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_ends_a_worker_that_waits_for_the_others(tmp_path, recipe):
    addresses = launch.free_addresses(2)
    process = alone_in(tmp_path / "0", recipe, addresses, 0)
    port = int(addresses[0].rpartition(":")[2])
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:  # it listens once TensorFlow waits for the other one
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
        time.sleep(0.2)
    time.sleep(2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert list((tmp_path / "0").iterdir()) == []


def test_a_recipe_that_ignores_its_part_is_refused():
    from tfcnns.training.crew import Crew
    from tfcnns.training.trainer import prepare

    class Recipe:
        @staticmethod
        def data(config, split, worker, workers):
            import tensorflow as tf

            return tf.data.Dataset.from_tensor_slices(np.zeros((8, 2))).batch(4)

    with pytest.raises(UserError, match=r"gave one of 2 workers 4 samples .* expected 2"):
        prepare(Recipe, {}, crew=Crew(None, cluster.Cluster(("a:1", "b:1"), 0)))
