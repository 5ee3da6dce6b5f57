"""What --help prints, for every script: flags by theme, with defaults, in lines that fit."""

import importlib
import pathlib
import re

import pytest
from absl import flags

import tfcnns
from tfcnns import cli

ROOT = pathlib.Path(tfcnns.__file__).parent
# Every module that ends as a script does.
SCRIPTS = sorted(
    ".".join(file.relative_to(ROOT).with_suffix("").parts)
    for file in ROOT.rglob("*.py")
    if "\nrun = cli.script(" in file.read_text()
)


def script(name):
    return importlib.import_module(f"tfcnns.{name}")


def sections(text):
    """{heading: lines} of a help text, without the usage before it."""
    _, *parts = re.split(r"\n\n([A-Z][^\n]*):\n(?=  -)", text)
    return {
        heading: body.split("\n") for heading, body in zip(parts[::2], parts[1::2], strict=True)
    }


def test_there_are_scripts():
    assert {"train", "evaluate", "predict", "plot", "features", "detect"} <= set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_flag_is_there_once_and_no_other(name):
    found = sections(cli.help_text(script(name).USAGE, script(name).FLAGS))
    lines = [line for body in found.values() for line in body]
    shown = [m[1] for line in lines if (m := re.match(r"  (?:-h, )?--(?:\[no\])?(\w+)", line))]
    own = {flag for flag in script(name).FLAGS if len(flag) > 1}  # -h is --help
    assert sorted(shown) == sorted(own)
    assert list(found)[-1] == "In every script"
    assert max(map(len, lines)) <= 98


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_holds_without_a_flag_is_said(name):
    module = script(name)
    text = " ".join(cli.help_text(module.USAGE, module.FLAGS).split())
    for flag in (module.FLAGS[flag] for flag in module.FLAGS):
        if flag.default not in (None, [], "", False):
            said = ",".join(flag.default) if isinstance(flag.default, list) else flag.default
            assert f"(default: {'on' if flag.default is True else said})" in text


def test_themes_of_training():
    found = sections(cli.help_text(script("train").USAGE, script("train").FLAGS))
    assert list(found) == [
        "The run",
        "What is trained",
        "Data",
        "Devices and speed",
        "In every script",
    ]
    assert found["The run"][0].startswith("  --recipe=...")
    assert any(line.startswith("  --xla=...") for line in found["Devices and speed"])
    assert "                           times --batch_size" in "\n".join(found["What is trained"])


def test_forms_of_flags():
    values = cli.new_flags()
    own = cli.themed(values, "Forms")
    flags.DEFINE_enum("way", "a", ["a", "b"], "which way", **own)
    flags.DEFINE_boolean("on", True, "at work", **own)
    flags.DEFINE_multi_string("many", [], "names; repeatable", **own)
    flags.DEFINE_list("list", ["a", "b"], "letters", **own)
    flags.DEFINE_float("rest", None, "seconds", flag_values=values)
    found = sections(cli.help_text("Does things.", values))
    assert list(found) == ["Flags", "Forms", "In every script"]
    assert found["Flags"] == ["  --rest=X                 seconds"]
    assert found["Forms"] == [
        "  --way=...                a | b: which way (default: a)",
        "  --[no]on                 at work (default: on)",
        "  --many=...               names; repeatable",
        "  --list=...               letters (default: a,b)",
    ]
