"""Plot a table of a figure: published and measured values over x, a panel for each of its panels.

python -m pipeline.stages.figures --table results/tables/fill_up_figure_2.csv --output results/figures/fill_up_figure_2.png
"""

from pathlib import Path

from pipeline.jobs import command


def main(args) -> None:
    import pandas as pd

    from pipeline.artifacts.atomic import replacing
    from pipeline.reporting.sweep import plot

    figure = plot(pd.read_csv(args.table), args.table.stem)
    with replacing(args.output) as part:
        figure.savefig(part, format="png", dpi=100, bbox_inches="tight", metadata={"Software": None})


def arguments():
    parser = command.parser(__doc__, config=False)
    parser.add_argument("--table", type=Path, required=True, help="the table of the stage `tables`, .csv")
    parser.add_argument("--output", type=Path, required=True, help="the picture to write, .png")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
