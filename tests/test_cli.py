"""What every script shares: help, mistakes in one line, silence, and readers that leave."""

import os
import subprocess
import sys

import pytest
from absl import flags

from tfcnns import cli
from tfcnns.errors import UserError


def make_script(main):
    values = cli.new_flags()
    flags.DEFINE_integer("number", 3, "how many, pieces", flag_values=values)
    flags.DEFINE_boolean("fast", False, "in a hurry", flag_values=values)
    return cli.script(main, values, "Does things.\n"), values


def code(run, *arguments):
    with pytest.raises(SystemExit) as left:
        run(["script", *arguments])
    return left.value.code or 0


def test_help_shows_our_flags_with_meaning_and_default(capsys):
    run, _ = make_script(lambda rest: None)
    assert code(run, "--help") == 0
    out = capsys.readouterr().out
    assert out.startswith("Does things.")
    assert "--number" in out
    assert "how many, pieces (default: 3)" in out
    assert "--[no]fast" in out
    assert "absl" not in out


def test_flags_and_the_rest_reach_main():
    seen = []
    run, values = make_script(lambda rest: seen.append((values.number, values.fast, rest)))
    assert code(run, "--number=5", "a.png", "--fast", "b.png") == 0
    assert code(run) == 0  # the first call's values are forgotten
    assert seen == [(5, True, ["a.png", "b.png"]), (3, False, [])]


def test_an_exit_code_is_passed_on():
    run, _ = make_script(lambda rest: 130)
    assert code(run) == 130


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--numbre=5"], "number"), (["--number=x"], "number"), (["bad"], "no such thing: bad here")],
)
def test_a_mistake_is_one_line_and_code_2(capsys, arguments, said):
    def main(rest):
        raise UserError("no such thing:\n  bad here")

    run, _ = make_script(main)
    assert code(run, *arguments) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert said in error
    assert error.count("\n") == 1


def test_a_mistake_met_inside_tf_data_is_one_line_too(capsys):
    import tensorflow as tf

    def load(index):
        raise UserError("photo.jpg is damaged")

    def main(rest):
        def example(index):
            return tf.numpy_function(load, [index], tf.int64)

        list(tf.data.Dataset.range(3).map(example))

    run, _ = make_script(main)
    assert code(run) == 2
    assert capsys.readouterr().err == "error: photo.jpg is damaged\n"


def test_a_bug_keeps_its_traceback():
    def main(rest):
        raise ValueError("ours")

    run, _ = make_script(main)
    with pytest.raises(ValueError, match="ours"):
        run(["script"])


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_leaves_is_no_error(lines):
    text = (
        "from tfcnns import cli\n"
        "def main(rest):\n"
        "    input()\n"  # until the reader has left
        f"    print('line\\n' * {lines})\n"
        "cli.script(main, cli.new_flags(), '')(['script'])\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", text], **pipes) as process:
        process.stdout.close()
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no such device")
@pytest.mark.parametrize("lines", [1, 100_000])
def test_output_that_finds_no_room_is_one_line(lines):
    text = (
        "from tfcnns import cli\n"
        f"run = cli.script(lambda rest: print('line\\n' * {lines}), cli.new_flags(), '')\n"
        "run(['script'])\n"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", text], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr == b"error: No space left on device\n"


def test_a_failing_import_says_what_tensorflow_said():
    text = (
        "import os, sys, types\n"
        "class Fails:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'tensorflow':\n"
        "            os.write(2, b'libfoo is missing\\n')\n"
        "            raise ImportError('no tensorflow')\n"
        "sys.meta_path.insert(0, Fails())\n"
        "from tfcnns import cli\n"
        "cli.start_tensorflow(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert done.returncode != 0
    assert "libfoo is missing" in done.stderr
    assert "no tensorflow" in done.stderr
