"""Writes the list of files in ARCHITECTURE.md: one line a file of the package, in words from the top of that file.

Only the lines between the two marks are written; everything else in ARCHITECTURE.md is written by hand.
"""

import ast
import sys
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRST, LAST = "<!-- files: written by `make map` -->", "<!-- end of files -->"


def main() -> int:
    document = ROOT / "ARCHITECTURE.md"
    before, mark, rest = document.read_text(encoding="utf-8").partition(FIRST)
    _, last, after = rest.partition(LAST)
    if not mark or not last:
        print(f"ARCHITECTURE.md: lacks the line {FIRST} or {LAST}")
        return 1
    document.write_text(f"{before}{FIRST}\n{file_lines()}\n{LAST}{after}", encoding="utf-8")
    return 0


def file_lines() -> str:
    """One line a module, each folder under a line of its own."""
    files = sorted((ROOT / "vi_toolkit").rglob("*.py"), key=lambda path: (path.parent.as_posix(), path.name))
    folders = groupby(files, key=lambda path: path.parent)
    return "\n\n".join("\n".join(file_line(path) for path in paths) for _, paths in folders)


def file_line(path: Path) -> str:
    summary = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "(says nothing about itself)"
    first = " ".join(summary.partition("\n\n")[0].split())
    return f"- `{path.relative_to(ROOT).as_posix()}`: {first}"


if __name__ == "__main__":
    sys.exit(main())
