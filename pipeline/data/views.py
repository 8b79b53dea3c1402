"""Random views of small pictures, a whole batch at a time and each picture with its own draw."""

import torch

from pipeline.seeds import mixed_seed


def random_flip(pictures: torch.Tensor) -> torch.Tensor:
    """Mirror each picture left to right with probability 1/2; any dtype, [N, C, H, W]."""
    flip = torch.rand(len(pictures), device=pictures.device) < 0.5
    return torch.where(flip[:, None, None, None], pictures.flip(-1), pictures)


def random_crop(pictures: torch.Tensor, padding: int) -> torch.Tensor:
    """Shift each picture by -padding..padding pixels both ways, with black from beyond the edge; [N, C, H, W]."""
    if padding == 0:
        return pictures
    n, _, height, width = pictures.shape
    padded = torch.nn.functional.pad(pictures, [padding] * 4)
    shift = torch.randint(0, 2 * padding + 1, (2, n, 1), device=pictures.device)
    rows = shift[0] + torch.arange(height, device=pictures.device)
    columns = shift[1] + torch.arange(width, device=pictures.device)
    which = torch.arange(n, device=pictures.device)
    return padded.permute(0, 2, 3, 1)[which[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def epoch_order(count: int, seed: int, epoch: int) -> torch.Tensor:
    """A permutation of 0..count-1, int64, that depends on seed and epoch alone."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(mixed_seed(seed, epoch)))
