"""The shape of the package: imports point down, files stay short, and ARCHITECTURE.md names every file.

A unit is a file or a folder directly in vi_toolkit/. Each stands on a floor and imports only units of lower floors. On
one floor, a unit may import another where that makes no circle; the three units of floor 1 know nothing of each other.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "vi_toolkit"
MAX_LINES = 300

FLOORS = (
    ("_types", "_checks", "_sound_sums", "_whole_numpyro", "_pieces", "_start", "_static", "_where", "datasets"),
    ("targets", "guides", "information"),
    ("estimators", "exact", "kernels", "sources", "zoo"),
    ("objectives",),
    ("algorithms", "numpyro_loss"),
    ("stopping", "progress", "interrupt", "programs", "windows", "keeping", "preflight", "fit", "mixtures"),
    ("diagnostics",),
    ("_gradient_points", "approximate", "calibration", "compare", "gradient_variance", "io", "predictive", "tree"),
    ("plots", "experiments", "report", "tables", "runtime", "model_file", "model_fit", "demo"),
    ("cli", "__main__"),
    ("__init__",),
)
FLOOR_OF = {unit: floor for floor, units in enumerate(FLOORS) for unit in units}
STRANGERS = {1}  # floors whose units do not import each other


def test_imports_point_down():
    assert import_faults(PACKAGE) == []


def test_files_are_short():
    assert long_files(PACKAGE) == []


def test_architecture_names_every_file_once():
    assert map_faults(PACKAGE, (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")) == []


def import_faults(package: Path) -> list[str]:
    """Every import that does not point down, every unit that stands on no floor, and every circle, in words."""
    faults: list[str] = []
    same_floor: set[tuple[str, str]] = set()
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        unit = unit_of(path, package)
        if unit not in FLOOR_OF:
            faults.append(f"{name}: {unit} is on no floor; give it one here and in ARCHITECTURE.md")
            continue
        floor = FLOOR_OF[unit]
        for line, imported in imported_units(path, package):
            if imported == unit:
                continue
            if imported not in FLOOR_OF:
                faults.append(f"{name}:{line}: imports {imported}, which is on no floor")
            elif FLOOR_OF[imported] > floor:
                faults.append(f"{name}:{line}: {unit} (floor {floor}) imports {imported} (floor {FLOOR_OF[imported]})")
            elif FLOOR_OF[imported] == floor and floor in STRANGERS:
                faults.append(f"{name}:{line}: {unit} and {imported} know nothing of each other")
            elif FLOOR_OF[imported] == floor:
                same_floor.add((unit, imported))
    return list(dict.fromkeys(faults)) + [f"{circle} import each other" for circle in circles(same_floor)]


def unit_of(path: Path, package: Path) -> str:
    return path.relative_to(package).with_suffix("").parts[0]


def imported_units(path: Path, package: Path) -> Iterator[tuple[int, str]]:
    """(line, unit) for every import of the package's own code in a file, wherever in the file it stands."""
    units = {unit_of(file, package) for file in package.rglob("*.py")} | set(FLOOR_OF)
    where = (package.name, *path.relative_to(package).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = where[: len(where) - node.level + 1] if node.level else ()
            module = (*start, *(node.module or "").split(".")) if node.module else start
            modules = [(*module, alias.name) for alias in node.names]
        else:
            continue
        for module in modules:
            if module[0] == package.name:
                # Without the name of a unit, `from vi_toolkit import ReverseKL`, it comes from the top of the package.
                yield node.lineno, module[1] if len(module) > 1 and module[1] in units else "__init__"


def circles(imports: set[tuple[str, str]]) -> list[str]:
    """The units that reach themselves by following imports, joined into one text; empty where there are none."""
    reached = set(imports)
    while longer := {(a, d) for a, b in reached for c, d in reached if b == c} - reached:
        reached |= longer
    caught = sorted(a for a, b in reached if a == b)
    return [" and ".join(caught)] if caught else []


def long_files(package: Path) -> list[str]:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sorted(package.rglob("*.py"))}
    return [f"{path.relative_to(package)}: {n} lines" for path, n in lengths.items() if n > MAX_LINES]


def map_faults(package: Path, text: str) -> list[str]:
    """What keeps the lines "- `path`: words" of a text from naming every file once, and nothing else."""
    named = re.findall(rf"^- `({package.name}/[^`]*\.py)`: +\S", text, flags=re.MULTILINE)
    files = {path.relative_to(package.parent).as_posix() for path in package.rglob("*.py")}
    missing = [f"{name}: not named; run make map" for name in sorted(files - set(named))]
    gone = [f"{name}: named, but there is no such file" for name in sorted(set(named) - files)]
    return missing + gone + [f"{name}: named twice" for name in sorted({n for n in named if named.count(n) > 1})]


# The rules themselves, on made-up packages.


def write_package(folder: Path, files: dict[str, str]) -> Path:
    package = folder / "vi_toolkit"
    for name, text in files.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return package


@pytest.mark.parametrize(
    "files",
    [
        {"fit.py": "from vi_toolkit.guides.normal import FullRankNormal", "guides/normal.py": ""},
        {"cli.py": "import vi_toolkit.fit\nimport numpy", "fit.py": "from .stopping import rule", "stopping.py": ""},
        {"guides/normal.py": "from vi_toolkit.guides import base\nfrom . import base", "guides/base.py": ""},
        {"exact/grid.py": "from .. import targets", "targets/__init__.py": ""},
        {"__init__.py": "from vi_toolkit.cli import main", "cli.py": ""},
    ],
)
def test_imports_that_are_fine(tmp_path, files):
    assert import_faults(write_package(tmp_path, files)) == []


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"guides/normal.py": "from vi_toolkit.fit import Fit"}, "guides (floor 1) imports fit (floor 5)"),
        ({"guides/normal.py": "def f():\n    import vi_toolkit.fit"}, "normal.py:2: guides (floor 1) imports fit"),
        ({"guides/deep/normal.py": "from ...fit import Fit"}, "guides (floor 1) imports fit (floor 5)"),
        ({"objectives/renyi.py": "from .. import algorithms"}, "objectives (floor 3) imports algorithms (floor 4)"),
        ({"plots/trace.py": "import vi_toolkit as vi"}, "plots (floor 8) imports __init__ (floor 10)"),
        ({"plots/trace.py": "from vi_toolkit import ReverseKL"}, "plots (floor 8) imports __init__ (floor 10)"),
        ({"guides/normal.py": "from vi_toolkit import targets"}, "guides and targets know nothing of each other"),
        ({"helpers.py": ""}, "helpers is on no floor"),
        ({"fit.py": "from . import stopping", "stopping.py": "from .fit import Fit"}, "fit and stopping import each"),
    ],
)
def test_imports_that_are_faults(tmp_path, files, fault):
    (found,) = import_faults(write_package(tmp_path, files))
    assert fault in found


def test_a_long_file_is_a_fault(tmp_path):
    package = write_package(tmp_path, {"fit.py": "x = 1\n" * MAX_LINES, "io.py": "x = 1\n" * (MAX_LINES + 1)})
    assert long_files(package) == [f"io.py: {MAX_LINES + 1} lines"]


def test_a_map_that_is_out_of_date_is_a_fault(tmp_path):
    package = write_package(tmp_path, {"fit.py": "", "io.py": "", "tree.py": ""})
    lines = ["fit.py`: the loop", "fit.py`: again", "io.py`:", "old.py`: gone", "tree.py`: trees"]
    faults = map_faults(package, "\n".join(f"- `vi_toolkit/{line}" for line in lines))
    assert [fault.partition(":")[0] for fault in faults] == [f"vi_toolkit/{name}.py" for name in ("io", "old", "fit")]
