"""`python benchmarks [--quick]`: every measurement, one table."""

import runpy
from pathlib import Path

runpy.run_path(str(Path(__file__).with_name("first_call.py")), run_name="__main__")
