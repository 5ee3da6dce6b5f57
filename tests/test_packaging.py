"""The wheel is complete, whatever became of the links, and works away from the checkout."""

import ast
import importlib.metadata
import re
import zipfile

import installs
import pytest


@pytest.fixture(scope="module", params=["kept", "gone", "text"])
def wheel_of_links(request, tmp_path_factory):
    tree = installs.copy_tree(tmp_path_factory.mktemp(request.param) / "tree", request.param)
    return installs.build_wheel(tree, "--no-build-isolation")


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Holds the wheel and nothing else of ours; dependencies come from the running environment."""
    work = tmp_path_factory.mktemp("installed")
    wheel = installs.build_wheel(installs.copy_tree(work / "tree"), "--no-build-isolation")
    made = installs.Environment(work / "env")
    made.pip("install", "--quiet", "--no-deps", wheel)
    made.share(installs.own_packages())
    return made


@pytest.fixture(scope="module")
def metadata(environment):
    (found,) = environment.site_packages.glob("tfcnns-*.dist-info")
    return importlib.metadata.PathDistribution(found)


def test_wheel_holds_the_tree_once(wheel_of_links):
    """A folder missing here belongs into `packages` of setup.py, a file into `package_data`."""
    names = [
        name for name in zipfile.ZipFile(wheel_of_links).namelist() if ".dist-info/" not in name
    ]
    assert len(names) == len(set(names))
    assert installs.packaged_files(installs.ROOT) - set(names) == set()
    assert set(names) - installs.packaged_files(installs.ROOT) == set()


def test_wheel_trains_one_step(environment):
    for origin in environment.origins():
        assert origin.is_relative_to(environment.site_packages)


def test_import_alone_is_light(environment):
    heavy = installs.run(
        environment.python,
        "-c",
        "import sys, tfcnns; print(sorted({'tensorflow', 'keras', 'numpy'} & set(sys.modules)))",
        cwd=environment.path,
    )
    assert heavy.strip() == "[]"


def test_every_console_command_starts(environment, metadata):
    commands = [point.name for point in metadata.entry_points]
    assert len(commands) >= 4
    for command in commands:
        said = installs.run(environment.path / "bin" / command, "--help", cwd=environment.path)
        assert "--verbosity" in said, command


def test_installed_commands_find_the_recipes(environment):
    said = installs.run(environment.path / "bin" / "tfcnns-train", "--list", cwd=environment.path)
    assert "nin_digits" in said


def test_version_is_the_one_in_the_source(metadata):
    source = (installs.ROOT / "tfcnns" / "__init__.py").read_text(encoding="utf-8")
    (version,) = (
        ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and node.targets[0].id == "__version__"
    )
    assert metadata.version == version


def test_every_dependency_is_justified(metadata):
    documented = (installs.ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    names = [re.match(r"[\w.-]+", requirement)[0] for requirement in metadata.requires]
    listed = re.findall(r"^\| `([\w.-]+)", documented, flags=re.MULTILINE)
    assert {normal_name(name) for name in listed} == {normal_name(name) for name in names}


def normal_name(name):
    """As PyPI compares names (PEP 503); setuptools' versions write - or _ into the metadata."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_links_lead_to_the_folders():
    """Absent in an sdist, which doesn't need them."""
    for name in installs.LINKS:
        link = installs.ROOT / "tfcnns" / name
        if link.is_dir():
            assert link.is_symlink()
            assert link.resolve() == installs.ROOT / name
