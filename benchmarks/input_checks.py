"""What a stage spends on the check of its inputs, to the last byte, before it works.

    PYTHONPATH=. python benchmarks/input_checks.py

Prints the seconds for a gigabyte that was read before, of a sealed table and of a file whose digest is in the table beside it.
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.artifacts import made, shards

ROWS = 2**24
REPEATS = 5


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file, table = Path(folder, "weights.bin"), Path(folder, "index.parquet")
        file.write_bytes(np.random.default_rng(0).bytes(8 * ROWS))
        shards.write_table(pd.DataFrame({"x": np.random.default_rng(1).random(ROWS)}), table, beside=[file])
        for path in (table, file):
            print(f"{path.name}: {seconds(path) / path.stat().st_size * 1e9:.2f} s for a gigabyte")


def seconds(path: Path) -> float:
    """Median of a few checks."""
    found = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        made.checked_digest(path)
        found.append(time.perf_counter() - began)
    return statistics.median(found)


if __name__ == "__main__":
    main()
