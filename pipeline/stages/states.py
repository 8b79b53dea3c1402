"""List all that a generator has learned, class by class, from the tables of its shards.

    python -m pipeline.stages.states --adapted results/demo/adapt/demo_fill_up/shard-00000.parquet \\
        results/demo/adapt/demo_fill_up/shard-00001.parquet --output results/demo/adapt/demo_fill_up/states.parquet

writes their rows, sorted by class and step, with the folder of each state's files, beside OUTPUT. The table seals these files too.
"""

from pathlib import Path

from pipeline.jobs import command


def main(args) -> None:
    import pandas as pd

    from pipeline.artifacts import made, shards
    from pipeline.errors import InputError

    tables, beside, about = [], {}, []
    for path in args.adapted:
        tables.append(shards.read_table(path).assign(folder=path.stem))
        said = made.about(path)
        about.append({key: value for key, value in said.items() if key not in ("seal", "name", "beside", "made")})
        beside |= {args.output.parent / name: digest for name, digest in said["beside"].items()}
    if any(other != about[0] for other in about):
        raise InputError(f"{args.adapted[0].parent} was learned with several models or settings; learn all of it again")
    states = pd.concat(tables).sort_values(["class", "step"], ignore_index=True)
    shards.write_table(states, args.output, beside, about[0])
    print(f"{states['class'].nunique()} classes have {len(states)} states")


def arguments():
    parser = command.parser(__doc__, config=False)
    parser.add_argument("--adapted", type=Path, nargs="+", required=True, help="the tables of all shards")
    parser.add_argument("--output", type=Path, required=True, help="the table to write, .parquet")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
