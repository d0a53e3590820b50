"""Runs every script in examples/, each in a folder of its own under build/examples; stops at the first that fails."""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    scripts = sorted((ROOT / "examples").glob("*.py"))
    for script in scripts:
        if "def main(" not in script.read_text(encoding="utf-8"):
            print(f"{script.name}: an example has a function main()")
            return 1
        folder = ROOT / "build" / "examples" / script.stem
        folder.mkdir(parents=True, exist_ok=True)
        print(f"== {script.name}", flush=True)
        started = time.perf_counter()
        environment = {**os.environ, "MPLBACKEND": "Agg"}
        status = subprocess.run([sys.executable, str(script)], cwd=folder, env=environment, check=False).returncode
        if status != 0:
            print(f"{script.name}: failed with exit code {status}")
            return 1
        print(f"   {time.perf_counter() - started:.1f} s", flush=True)
    print(f"{len(scripts)} examples ran")
    return 0


if __name__ == "__main__":
    sys.exit(main())
