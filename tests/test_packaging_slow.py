"""Every way to install, each into a fresh environment, trains one step from the right place."""

import sys
import tarfile

import installs
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dependencies(tmp_path_factory):
    """The wheel installed with all that it asks for and seen to work; then only the rest of it."""
    work = tmp_path_factory.mktemp("full")
    full = installs.Environment(work / "env")
    full.pip("install", "--quiet", installs.build_wheel(installs.copy_tree(work / "tree")))
    full.pip("check")
    for origin in full.origins():
        assert origin.is_relative_to(full.site_packages)
    full.pip("uninstall", "--quiet", "--yes", "tfcnns")
    return [full.site_packages]


@pytest.fixture
def environment(tmp_path):
    return installs.Environment(tmp_path / "env")


def commit(tree):
    """Makes a repository of a copy of the tree."""
    git = ["git", "-c", "user.name=tests", "-c", "user.email=tests@example.invalid"]
    for arguments in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "tree"]):
        installs.run(*git, *arguments, cwd=tree)
    return tree


def train(environment, dependencies, below):
    environment.share(dependencies)
    for origin in environment.origins():
        assert origin.is_relative_to(below), origin


@pytest.mark.parametrize("mode", ["default", "strict", "compat"])
def test_editable(environment, dependencies, tmp_path, mode):
    tree = installs.copy_tree(tmp_path / "tree")
    options = [] if mode == "default" else ["--config-settings", f"editable_mode={mode}"]
    environment.pip("install", "--quiet", "--no-deps", *options, "--editable", tree)
    train(environment, dependencies, below=tree)


@pytest.mark.parametrize("mode", ["default", "strict"])
@pytest.mark.parametrize("links", ["gone", "text"])
def test_editable_without_links(environment, dependencies, tmp_path, links, mode):
    tree = installs.copy_tree(tmp_path / "tree", links)
    options = ["--config-settings", f"editable_mode={mode}"] if mode == "strict" else []
    environment.pip("install", "--quiet", "--no-deps", *options, "--editable", tree)
    train(environment, dependencies, below=tree)


def test_editable_sees_a_new_file(environment, dependencies, tmp_path):
    tree = installs.copy_tree(tmp_path / "tree")
    environment.pip("install", "--quiet", "--no-deps", "--editable", tree)
    (tree / "layers" / "new_one.py").write_text("HERE = 1\n")
    environment.share(dependencies)
    code = "from tfcnns.layers.new_one import HERE"
    installs.run(environment.python, "-c", code, cwd=environment.path)


def build_sdist(tree):
    code = "import setuptools.build_meta as b; b.build_sdist('dist')"
    installs.run(sys.executable, "-c", code, cwd=tree)
    (archive,) = (tree / "dist").iterdir()
    return archive


def test_sdist(environment, dependencies, tmp_path):
    archive = build_sdist(installs.copy_tree(tmp_path / "tree"))
    environment.pip("install", "--quiet", "--no-deps", archive)
    train(environment, dependencies, below=environment.site_packages)


def test_sdist_holds_the_tree(tmp_path):
    tree = installs.copy_tree(tmp_path / "tree", links="gone")
    files = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}
    with tarfile.open(build_sdist(installs.copy_tree(tmp_path / "again"))) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert files - packed == set()
    assert {name for name in packed if name.startswith(("tfcnns/layers", "tfcnns/pipe"))} == set()


def test_git_url(environment, dependencies, tmp_path):
    repository = commit(installs.copy_tree(tmp_path / "tree"))
    environment.pip("install", "--quiet", "--no-deps", f"git+file://{repository}")
    train(environment, dependencies, below=environment.site_packages)


def test_git_archive(environment, dependencies, tmp_path):
    repository = commit(installs.copy_tree(tmp_path / "tree"))
    installs.run("git", "archive", "--output", tmp_path / "tree.zip", "HEAD", cwd=repository)
    environment.pip("install", "--quiet", "--no-deps", tmp_path / "tree.zip")
    train(environment, dependencies, below=environment.site_packages)


def test_bare_clone(environment, dependencies, tmp_path):
    commit(installs.copy_tree(tmp_path / "tree"))
    installs.run("git", "clone", "--quiet", "tree", "clone", cwd=tmp_path)
    environment.share(dependencies)
    for origin in environment.origins(cwd=tmp_path / "clone"):
        assert origin.is_relative_to(tmp_path / "clone")
