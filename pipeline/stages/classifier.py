"""Train a classifier on real and selected generated pictures.

    python -m pipeline.stages.classifier --seed 0 \\
        --config '{"scheme": "plain", "backbone": "small", "loss": {"kind": "cross_entropy"}, ...}' \\
        --manifest results/demo/subset/manifest.parquet --selected results/demo/select/demo/selected.parquet \\
        --output results/demo/classifier/demo/seed-0

writes OUTPUT/weights.safetensors (of the last epoch, or of the best one on the validation split, as "select_by" says) and
OUTPUT/history.parquet; a round of one training, for the next one to continue, also OUTPUT/state.pt. Until it ends, a checkpoint is
in OUTPUT/checkpoints. For several GPUs of one node: `python -m torch.distributed.run --standalone --nproc-per-node 8 -m
pipeline.stages.classifier ...`.
"""

import json
import shutil
from pathlib import Path

from pipeline.jobs import command


def main(args) -> None:
    import pandas as pd
    import torch

    from pipeline import kinds
    from pipeline.artifacts import shards
    from pipeline.artifacts.atomic import replacing
    from pipeline.classifiers import network as networks
    from pipeline.classifiers.backbones.pretrained import load_pretrained
    from pipeline.classifiers.input.batches import Labelled
    from pipeline.classifiers.input.reader import open_pictures
    from pipeline.classifiers.processes import joined
    from pipeline.classifiers.rounds import STATE, is_last, of_all_rounds, start
    from pipeline.classifiers.train import train
    from pipeline.data.classes import class_names
    from pipeline.data.groups import contexts_of, group_names, group_numbers
    from pipeline.errors import InputError
    from pipeline.jobs.checkpoint import Checkpoint
    from pipeline.jobs.device import device
    from pipeline.jobs.training import NotFinite

    config = args.config
    if args.chosen:
        chosen = json.loads(args.chosen.read_text(encoding="utf-8"))["settings"]
        config = {key: chosen.get(key, value) for key, value in config.items()} | {"trial": None}
    manifest = shards.read_table(args.manifest, [*shards.PICTURE, "class_name", "split"], shards.OPTIONAL)
    groups, names = group_names(manifest), class_names(manifest)
    contexts = torch.from_numpy(contexts_of(manifest))
    target = device()

    def labelled(tables) -> Labelled:
        pictures = open_pictures([(table, folder) for table, folder, _ in tables], config["side"], target)
        labels = [torch.from_numpy(table["class"].to_numpy("int64", copy=True)) for table, _, _ in tables]
        generated = [torch.full((len(table),), is_generated) for table, _, is_generated in tables]
        grouped = [torch.from_numpy(group_numbers(table, groups)) for table, _, _ in tables]
        return Labelled(pictures, *map(torch.cat, (labels, generated, grouped)), contexts)

    def real(split: str):
        return manifest[manifest["split"] == split], args.manifest.parent, False

    judged = (manifest["split"] == "val").any()
    if config["trial"] is not None and not judged:
        raise InputError(
            f"{args.manifest} has no validation split, on which a search chooses; give the data set one, by `val_share` if the pictures"
            " are your own, or remove search"
        )
    selected = [(shards.read_table(path, shards.PICTURE, shards.OPTIONAL), path.parent, True) for path in args.selected]
    if config.get("rest") and not (manifest["split"] == "rest").any():
        raise InputError(
            f"{args.manifest} has no pictures that a long tail left out; remove rest from the classifier's data"
        )
    own = [split for split, is_used in (("train", config["real"]), ("rest", config.get("rest"))) if is_used]
    training = [real(split) for split in own] + selected
    training = [part for part in training if len(part[0])]
    if not training:
        raise InputError(
            f"{args.output}: nothing to train on, because no picture was selected; loosen the filter's keep"
        )
    first, folder, _ = training[0]
    size = shards.read_pictures(first[:1], folder, config["side"]).shape[1:3]

    torch.manual_seed(args.seed)
    if args.foundation:
        network = kinds.load("classifiers", "from_clip").build(config, names, size, args.foundation)
    else:
        network = networks.build(config, len(names))
    if config["pretrained"]:
        load_pretrained(network.backbone, Path(config["pretrained"]))
    if args.init:
        networks.start_from(network, args.init)

    data = labelled(training)
    generated = int(data.generated.sum())
    further = sum(len(shards.read_table(path, ["key"])) for path in args.steps_as)
    epoch_length = len(data.labels) - generated + of_all_rounds(generated, config["round"]) + further
    begun_from = [path for path in (args.init, args.continues, args.foundation, config["pretrained"]) if path]
    checkpoint = Checkpoint(
        args.output / "checkpoints",
        config | {"seed": args.seed},
        args.code,
        [args.manifest, *args.selected, *args.steps_as, *map(Path, begun_from)],
        args.checkpoint_minutes,
        start=(lambda: start(args.continues)) if args.continues else None,
    )
    with joined(target) as processes:
        failed = ""
        try:
            history = train(
                config,
                data,
                labelled([real("test")]),
                lambda: labelled([real("val")]) if judged else None,
                network,
                epoch_length,
                args.seed,
                target,
                checkpoint,
                processes,
            )
        except (NotFinite, MemoryError, RuntimeError) as error:
            # of several processes, the others would wait for the one that is out of memory
            full = command.is_of_memory(error) and processes.count == 1
            if config["trial"] is None or not (full or isinstance(error, NotFinite)):
                raise
            failed = f"out of memory ({str(error).splitlines()[0]})" if full else str(error)
            print(f"this trial failed: {failed}", flush=True)
            history = pd.DataFrame([{"epoch": 0, "steps": 0, "test_top1": 0.0, "kept": True}])
        if not processes.first:
            return
        best = history["test_top1"].idxmax()
        outcome = {
            "steps": int(history["steps"].iloc[-1]),
            "real_pictures": len(data.labels) - generated,
            "generated_pictures": generated,
            "kept_epoch": int(history["epoch"][history["kept"].idxmax()]),
            "best_test_epoch": int(history["epoch"][best]),
            "best_test_top1": float(history["test_top1"][best]),
            "class_names": names.tolist(),
            "picture_size": size,  # height and width
            "settings": config | {"seed": args.seed},
        } | ({"failed": failed} if failed else {})
        weights = args.output / "weights.safetensors"
        networks.save(network, weights, outcome)
        files = [weights]
        if not is_last(config["round"]):
            files.append(args.output / STATE)
            with replacing(files[-1]) as part:
                shutil.copyfile(checkpoint.path, part)
        shards.write_table(history, args.output / "history.parquet", beside=files)
        checkpoint.finish()


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="the subset's manifest.parquet")
    parser.add_argument("--selected", type=Path, nargs="*", default=[], help="selected.parquet of each filter")
    parser.add_argument(
        "--steps-as",
        type=Path,
        nargs="*",
        default=[],
        help="selected.parquet of filters that make an epoch longer without being used",
    )
    parser.add_argument("--init", type=Path, help="weights.safetensors to start from")
    parser.add_argument(
        "--continues", type=Path, help="history.parquet of the round whose training, in the state beside it, goes on"
    )
    parser.add_argument(
        "--chosen", type=Path, help="chosen.json of a search, whose settings take the place of the config's"
    )
    parser.add_argument("--foundation", type=Path, help="foundation.parquet of a CLIP, for the backbone clip")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--checkpoint-minutes", type=float, default=10, help="minutes between checkpoints (10)")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
