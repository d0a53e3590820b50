"""Runs every notebook in notebooks/ and holds it against its text.

A notebook is a pair: `name.py`, jupytext's percent text, which is what people edit and review, and `name.ipynb`, the
same cells with their outputs. Without options nothing is written: every pair must be complete, hold the same cells,
have been executed, and run again without an error. With --write each .ipynb is made from its text, outputs included.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
TIMEOUT = 600  # seconds for one cell


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write each .ipynb from its text, with outputs")
    write = parser.parse_args().write
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    # NumPyro asks for a widget that it can do without
    os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"
    names = sorted({path.stem for path in (*FOLDER.glob("*.py"), *FOLDER.glob("*.ipynb"))})
    for name in names:
        text, notebook = FOLDER / f"{name}.py", FOLDER / f"{name}.ipynb"
        fault = None if write else find_fault(text, notebook)
        if fault is not None or not text.exists():
            print(f"{name}: {fault or 'there is no ' + text.name}. Write it with: make notebooks WRITE=1")
            return 1
        print(f"== {name}", flush=True)
        started = time.perf_counter()
        executed = execute(jupytext.read(text))
        if write:
            nbformat.write(executed, notebook)
        print(f"   {time.perf_counter() - started:.1f} s", flush=True)
    print(f"{len(names)} notebooks ran")
    return 0


def find_fault(text: Path, notebook: Path) -> str | None:
    """What keeps a pair from being complete, in step and executed; None where nothing does."""
    for path in (text, notebook):
        if not path.exists():
            return f"there is no {path.name}"
    stored = nbformat.read(notebook, as_version=4)
    if cells(jupytext.read(text)) != cells(stored):
        return f"{notebook.name} does not hold the cells of {text.name}"
    code = [cell for cell in stored.cells if cell.cell_type == "code" and cell.source.strip()]
    if any(cell.execution_count is None for cell in code):
        return f"{notebook.name} has cells that were not executed"
    return None


def cells(notebook: Any) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source.strip()) for cell in notebook.cells]


def execute(notebook: Any) -> Any:
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(FOLDER)}},
        extra_arguments=["--log-level=ERROR"],
    )
    client.execute()
    for number, cell in enumerate(notebook.cells):  # nothing that differs from run to run
        cell["id"] = f"cell-{number}"
        cell.metadata.pop("execution", None)
    return notebook


if __name__ == "__main__":
    sys.exit(main())
