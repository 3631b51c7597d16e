"""The distribution: our plain package names belong to us alone, the command is lazy, and what is shipped is what pyproject says."""

import importlib
import os
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import click
import pytest

import muki

ROOT = Path(__file__).parents[2]
PACKAGES = ("contract", "deploy", "edge", "gateway", "models", "rules", "simulators")


@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_distribution_owns_our_package_name(package: str) -> None:
    owners = set(packages_distributions().get(package, []))
    assert owners <= {"muki"}, f"{package} also belongs to {owners - {'muki'}}"
    module = importlib.import_module(package)
    assert Path(str(module.__file__)).is_relative_to(ROOT)


@pytest.mark.parametrize("name", sorted(muki.COMMANDS))
def test_each_subcommand_loads_and_explains_itself(name: str) -> None:
    command = muki.main.get_command(click.Context(muki.main), name)
    assert isinstance(command, click.Command)
    assert command.help or command.short_help


def test_the_command_imports_nothing_of_ours_until_it_is_called() -> None:
    code = f"import sys, muki; print([name for name in {PACKAGES!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_unknown_subcommand_is_refused_with_a_hint() -> None:
    done = subprocess.run([sys.executable, "-m", "muki", "egde"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert "egde" in done.stderr


def test_tests_are_never_packaged() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    include = settings["tool"]["setuptools"]["packages"]["find"]["include"]
    assert sorted(include) == [f"{package}*" for package in PACKAGES]


def test_a_library_that_is_not_installed_is_named_with_its_extra(tmp_path: Path) -> None:
    # A folder that shadows the library with one that cannot be found: what an installation without the extra is like.
    (tmp_path / "sqlalchemy.py").write_text("raise ModuleNotFoundError(\"No module named 'sqlalchemy'\", name='sqlalchemy')\n")
    (tmp_path / "gateway.yaml").write_text("site: test\ndata_dir: .\n")
    command = [sys.executable, "-m", "muki", "gateway", "check", str(tmp_path / "gateway.yaml")]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert done.returncode == 1
    assert "muki[gateway]" in done.stderr
    assert "Traceback" not in done.stderr
