"""CLIP's embeddings of pictures, by the image encoder of an unCLIP model."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from PIL import Image

from pipeline.artifacts import made
from pipeline.errors import InputError
from pipeline.foundations.components import component
from pipeline.foundations.fit import misuse, model_index, pipeline_class
from pipeline.foundations.table import folder_of


@torch.inference_mode()
def image_embeddings(foundation: Path, pictures: Iterable[Image.Image], device: torch.device) -> Iterator[torch.Tensor]:
    """The embedding of each RGB picture, float32 [D] on the CPU, one after the other, so that none depends on its neighbours.

    foundation: the model's table. Raises InputError if it is no unCLIP model, or its encoder is missing or damaged.
    """
    folder, about = folder_of(foundation), made.about(foundation)
    if complaint := misuse(str(folder), pipeline_class(folder), "unclip"):
        raise InputError(complaint)
    index = model_index(folder)
    how = {"variant": about["variant"], "allow_pickle": about["allow_pickle"]}
    extractor, encoder = (
        component(folder / name, *index[name], torch.float32, **how) for name in ("feature_extractor", "image_encoder")
    )
    encoder = encoder.to(device)
    for picture in pictures:
        seen = extractor(picture, return_tensors="pt").pixel_values
        yield encoder(seen.to(device)).image_embeds[0].cpu()
