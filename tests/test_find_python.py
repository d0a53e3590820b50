"""scripts/find-python: takes an interpreter that runs and is new enough, and says why it took none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "find-python"
TOOLS = ("sh", "sed", "head", "tail", "sort", "grep", "ls")  # what the script itself calls

FAILS = "#!/bin/sh\necho 'shim: command not found' >&2\nexit 127\n"
OLD = "#!/bin/sh\necho 'Python 3.11.7, too old' >&2\nexit 1\n"
FIT = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'

pytestmark = pytest.mark.skipif(not SCRIPT.exists() or os.name != "posix", reason="needs the checkout and a shell")


def find(folder: Path, on_path: dict[str, str], pyenv: dict[str, str], **variables: str) -> subprocess.CompletedProcess:
    """Runs the script where nothing is installed but the given interpreters: {name: script}."""
    tools = folder / "bin"
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).symlink_to(str(shutil.which(tool)))
    for name, text in on_path.items():
        write_script(tools / name, text)
    for version, text in pyenv.items():
        write_script(folder / "pyenv" / "versions" / version / "bin" / "python", text)
    environment = {"PATH": str(tools), "PYENV_ROOT": str(folder / "pyenv"), **variables}
    return subprocess.run(["sh", str(SCRIPT)], env=environment, capture_output=True, text=True, check=False)


def write_script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("on_path", "pyenv"),
    [
        ({"python3": FIT}, {}),
        ({"python3.13": FAILS, "python3": FIT}, {}),
        ({"python3.13": FAILS, "python3": OLD}, {"3.12.1": FIT}),
        ({}, {"3.9.18": OLD, "3.13.0": FAILS, "3.12.1": FIT, "miniforge3-24.3": FAILS}),
    ],
)
def test_takes_one_that_runs_and_is_new_enough(tmp_path, on_path, pyenv):
    done = find(tmp_path, on_path, pyenv)
    assert done.returncode == 0, done.stderr
    version = subprocess.run(
        [done.stdout.strip(), "-c", "import sys; print(sys.version)"], capture_output=True, text=True
    )
    assert version.stdout.strip() == sys.version


def test_takes_the_newest_of_pyenv(tmp_path):
    say = "#!/bin/sh\necho {}\n"
    done = find(tmp_path, {}, {version: say.format(version) for version in ("3.9.18", "3.12.10", "3.13.2", "3.13.11")})
    assert done.stdout == "3.13.11\n"


def test_says_why_it_took_none(tmp_path):
    done = find(tmp_path, {"python3.13": FAILS, "python3": OLD}, {"3.10.13": OLD})
    assert done.returncode == 1
    assert done.stdout == ""
    for words in (
        "No fit Python found",
        "python3.13: shim: command not found",
        "python3: Python 3.11.7, too old",
        "PYTHON=",
    ):
        assert words in done.stderr


def test_an_override_is_taken_or_refused_and_never_replaced(tmp_path):
    done = find(tmp_path, {"python3": FIT, "mine": OLD}, {}, PYTHON="mine")
    assert done.returncode == 1
    assert "PYTHON=mine will not do" in done.stderr
