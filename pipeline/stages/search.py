"""Choose the trial of a search that is best on the validation split.

    python -m pipeline.stages.search --config '{"by": "val_top1", "trials": [{"learning_rate": 0.01}, {"learning_rate": 0.1}]}' \\
        --trials results/nico/evaluate/nico_erm~trial=0/seed-0/metrics.json results/nico/evaluate/nico_erm~trial=1/seed-0/metrics.json \\
        --weights results/nico/classifier/nico_erm~trial=0/seed-0/weights.safetensors ... \\
        --output results/nico/search/nico_erm

writes OUTPUT/chosen.json (trial, values, the figure that it is the highest in, and all of its settings) and OUTPUT/trials.parquet:
a row for each trial, with its values as JSON, its figure, and why it failed (empty if it did not). Of equal trials, the first is
chosen. One that failed is reported, and the others count.
"""

import json
import math
from pathlib import Path

from pipeline.jobs import command


def main(args) -> None:
    import pandas as pd

    from pipeline.artifacts import shards
    from pipeline.artifacts.atomic import replacing
    from pipeline.classifiers import network
    from pipeline.errors import InputError

    by = args.config["by"]
    rows = []
    for trial, (values, path) in enumerate(zip(args.config["trials"], args.trials, strict=True)):
        found = json.loads(path.read_text(encoding="utf-8"))
        if by not in found["metrics"]:
            raise InputError(
                f"{path} has no {by}, because the data set has no validation split, or no groups in it; set the search's `by`, or "
                "remove search from the classifier"
            )
        failed = found.get("failed", "")
        figures = {name: math.nan if failed else found["metrics"][name] for name in dict.fromkeys((by, "val_top1"))}
        rows.append({"trial": trial, "values": json.dumps(values)} | figures | {"failed": failed})
        if failed:
            print(f"trial {trial} of {json.dumps(values)} failed: {failed}", flush=True)
    table = pd.DataFrame(rows)
    if table[by].isna().all():
        raise InputError(f"all {len(table)} trials failed, the first because {rows[0]['failed']}; search other values")
    best = rows[int(table.sort_values([by, "val_top1"], ascending=False, kind="stable", na_position="last").index[0])]
    chosen = args.output / "chosen.json"
    with replacing(chosen) as part:
        told = {"trial": best["trial"], "values": json.loads(best["values"]), by: best[by]}
        told["settings"] = network.outcome(args.weights[best["trial"]])["settings"]
        part.write_text(json.dumps(told, indent=1), encoding="utf-8")
    shards.write_table(table, args.output / "trials.parquet", beside=[chosen])
    print(f"chosen: trial {best['trial']}, {best['values']}, {by} {best[by]:.2f} %")


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument(
        "--trials", type=Path, nargs="+", required=True, help="metrics.json of each trial, in their order"
    )
    parser.add_argument(
        "--weights", type=Path, nargs="+", required=True, help="weights.safetensors of each trial, in their order"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
