"""`python benchmarks [--quick]`: every measurement, two tables."""

import runpy
from pathlib import Path

for name in ("first_call.py", "materializing.py"):
    runpy.run_path(str(Path(__file__).with_name(name)), run_name="__main__")
    print()
