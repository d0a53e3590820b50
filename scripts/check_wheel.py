"""Builds the wheel, looks inside, installs it into a new environment and imports it there from another folder.

The new environment borrows the installed dependencies of this one, so that nothing is downloaded again; the package
itself comes out of the wheel.
"""

import subprocess
import sys
import sysconfig
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

IMPORT = """
import importlib.metadata, pathlib, sys
import vi_toolkit
file = pathlib.Path(vi_toolkit.__file__)
assert file.is_relative_to(sys.prefix), f"imported from {file}, not from the wheel"
missing = [name for name in vi_toolkit.__all__ if not hasattr(vi_toolkit, name)]
assert not missing, f"names in __all__ that do not exist: {missing}"
print("imported vi_toolkit", importlib.metadata.version("vi-toolkit"), "with", len(vi_toolkit.__all__), "public names")
"""


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, str(ROOT)]
        run(build, stdout=subprocess.DEVNULL)
        (wheel,) = Path(folder).glob("*.whl")
        fault = find_fault(wheel)
        if fault is not None:
            print(f"{wheel.name}: {fault}")
            return 1
        import_elsewhere(wheel, Path(folder) / "environment")
        (ROOT / "dist").mkdir(exist_ok=True)
        wheel.replace(ROOT / "dist" / wheel.name)
    print(f"dist/{wheel.name} is good")
    return 0


def find_fault(wheel: Path) -> str | None:
    """What is wrong with the files in a wheel; None where nothing is."""
    packed = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.partition("/")[0] for name in packed}
    strangers = {top for top in tops if top != "vi_toolkit" and not top.endswith(".dist-info")}
    if strangers:
        return f"holds more than the package: {sorted(strangers)}"
    if "vi_toolkit/py.typed" not in packed:
        return "has no vi_toolkit/py.typed"
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in packed):
        return "has no licence"
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "vi_toolkit").rglob("*.py")}
    if modules - packed:
        return f"lacks {sorted(modules - packed)}"
    return None


def import_elsewhere(wheel: Path, environment: Path) -> None:
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    run([*pip, str(wheel)])
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    borrowed = sysconfig.get_path("purelib")  # without its .pth files, one of which is the link to this checkout
    (packages / "borrowed.pth").write_text(borrowed + "\n", encoding="utf-8")
    run([str(python), "-I", "-c", IMPORT], cwd=environment)
    run([str(python), "-I", "-m", "vi_toolkit", "--help"], cwd=environment, stdout=subprocess.DEVNULL)
    run([str(environment / "bin" / "vi-toolkit"), "--help"], cwd=environment, stdout=subprocess.DEVNULL)


def run(command: list[str], **options: object) -> None:
    subprocess.run(command, check=True, **options)  # type: ignore[call-overload]


if __name__ == "__main__":
    sys.exit(main())
