"""What every script shares: help, mistakes in one line, silence, and readers that leave."""

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


def test_a_reader_that_leaves_is_no_error():
    text = (
        "from tfcnns import cli\n"
        "run = cli.script(lambda rest: print('line\\n' * 100000), cli.new_flags(), '')\n"
        "run(['script'])\n"
    )
    command = [sys.executable, "-c", text]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""


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
