"""The wheel works where the checkout is not, and declares all that it needs."""

import ast
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
# A training run of seconds: the smallest one that passes through every part.
TINY_RUN = ["train", "debug=limit"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built with the backend of the current environment: nothing is downloaded."""
    folder = tmp_path_factory.mktemp("wheel")
    build = ["wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    _run([sys.executable, "-m", "pip", *build], folder)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment that holds the wheel and sees the dependencies installed here.

    A path in a .pth file is searched, but the .pth files inside it are not read: neither is the one that leads from
    an editable installation to the checkout. So the dependencies need no second download, and the checkout is out of
    reach.
    """
    folder = tmp_path_factory.mktemp("environment")
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)], folder)
    python = folder / "bin" / "python"
    install = ["--python", str(python), "install", "-q", "--no-deps", "--no-index", str(wheel)]
    _run([sys.executable, "-m", "pip", *install], folder)
    site = Path(_run([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder).strip())
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "bin"


def test_wheel_holds_every_module_every_page_and_every_config(wheel: Path) -> None:
    expected = {
        str(path.relative_to(ROOT))
        for kind in ("py", "typed", "html", "css", "js")
        for path in (ROOT / "seq2seq").rglob(f"*.{kind}")
    }
    expected |= {f"seq2seq/{path.relative_to(ROOT)}" for path in (ROOT / "configs").rglob("*.yaml")}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("seq2seq/")}
    assert "seq2seq/configs/train.yaml" in expected
    assert packed == expected


def test_source_distribution_holds_what_is_built_and_tested(tmp_path: Path) -> None:
    _run([sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)], ROOT)
    (file,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    expected = {"seq2seq/py.typed", "configs/train.yaml", "scripts/oldest.py", "tests/conftest.py", "Makefile"}
    assert packed >= expected


def test_types_of_the_installed_wheel_are_seen(installed: Path, tmp_path: Path) -> None:
    """Of the package alone: its libraries are skipped, since mypy would read all of PyTorch."""
    (tmp_path / "user.py").write_text("from seq2seq.alignment.links import format_links\nreveal_type(format_links)\n")
    (tmp_path / "mypy.ini").write_text("[mypy]\nfollow_imports = skip\n[mypy-seq2seq.*]\nfollow_imports = normal\n")
    check = ["--no-incremental", "--python-executable", str(installed / "python"), "user.py"]
    said = _run([sys.executable, "-m", "mypy", *check], tmp_path)
    assert re.search(r"-> (builtins\.)?str\b", said) and "import-untyped" not in said


def test_checkout_is_out_of_reach_of_the_installed_wheel(installed: Path, tmp_path: Path) -> None:
    where = _run([str(installed / "python"), "-c", "import seq2seq; print(seq2seq.__file__)"], tmp_path).strip()
    assert Path(where).is_relative_to(installed.parent)
    assert not Path(where).is_relative_to(ROOT)


@pytest.mark.parametrize("command", [["seq2seq"], ["python", "-m", "seq2seq"]], ids=["script", "module"])
def test_installed_wheel_shows_help(installed: Path, tmp_path: Path, command: list[str]) -> None:
    shown = _run([str(installed / command[0]), *command[1:], "--help"], tmp_path)
    assert "train" in shown


def test_installed_wheel_trains_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    _run([str(installed / "python"), "-m", "seq2seq", *TINY_RUN], tmp_path)
    (checkpoint,) = tmp_path.glob("outputs/**/checkpoints/last.ckpt")
    assert (checkpoint.parents[1] / "metrics.json").is_file()


EXTRAS: dict[str, str | tuple[str, ...]] = {
    "export": ("export/", "huggingface/folder.py", "serving/ctranslate2.py"),
    "align": "alignment/statistical.py",
    "serve": "serving/",
}
"""Extras, and which files below `seq2seq/` alone import what they bring."""

EXPECTED = {
    None: {"torch", "lightning"},
    "export": {"ctranslate2", "safetensors"},
    "align": {"thot"},
    "serve": {"fastapi", "uvicorn"},
}


def _extra_of(path: Path) -> str | None:
    place = path.relative_to(ROOT / "seq2seq").as_posix()
    return next((extra for extra, begin in EXTRAS.items() if place.startswith(begin)), None)


@pytest.mark.parametrize("extra", EXPECTED)
def test_every_import_is_a_declared_dependency(extra: str | None) -> None:
    project = _pyproject()["project"]
    declared = {_name(line) for line in project["dependencies"]}
    declared |= {_name(line) for line in project["optional-dependencies"][extra]} if extra else set()
    providers = metadata.packages_distributions()
    files = [path for path in (ROOT / "seq2seq").rglob("*.py") if _extra_of(path) == extra]
    imported = {module for path in files for module in _imports(path)}
    assert imported >= EXPECTED[extra]
    third_party = imported - sys.stdlib_module_names - {"seq2seq"}
    undeclared = {name for name in third_party if declared.isdisjoint(map(_name, providers.get(name, [])))}
    assert undeclared == set()


def test_constraints_pin_every_transitive_dependency() -> None:
    project = _pyproject()
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {_name(line) for line in constraints if not line.startswith("#")}
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in constraints if not line.startswith("#"))
    required = project["project"]["dependencies"] + sum(project["project"]["optional-dependencies"].values(), [])
    waiting, needed = [_name(line) for line in required if _name(line) != "seq2seq"], set()
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += _requirements_met_here(name)
    # A CUDA build of torch pins its own nvidia and triton packages.
    assert {name for name in needed - pinned if not name.startswith(("nvidia-", "cuda-", "triton"))} == set()


def test_no_pin_wants_a_newer_python_than_the_project() -> None:
    """A pin that wants 3.11.5 cannot be installed by Debian 12, whose Python is 3.11.2."""
    (lowest,) = SpecifierSet(_pyproject()["project"]["requires-python"])
    wanted = {each.name: ",".join(each.metadata.get_all("Requires-Python", [])) for each in metadata.distributions()}
    assert len(wanted) > 100
    refused = {name for name, versions in wanted.items() if f"{lowest.version}.0" not in SpecifierSet(versions)}
    assert refused == set()


def _requirements_met_here(name: str) -> list[str]:
    """Names of the installed distributions that `name` asks for, those of its optional extras left out."""
    names = [_name(line) for line in metadata.requires(name) or [] if "extra ==" not in line]
    return [name for name in names if list(metadata.distributions(name=name))]


def _imports(path: Path) -> set[str]:
    """Top-level names of all modules that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def _name(requirement: str) -> str:
    """The normalised name of the distribution that a requirement line begins with."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0]).lower()


def _pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _run(command: list[str], folder: Path) -> str:
    """Standard output of a command run in `folder`, which must succeed."""
    # The checkout must not reach the command through the environment either.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
