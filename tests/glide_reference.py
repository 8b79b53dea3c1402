"""A reading of GLIDE (Nichol et al. 2022) of our own, in float64, from the tensors of a checkpoint alone.

It uses neither diffusers nor modules of torch, so that it can judge what does.
"""

import math

import torch
from torch.nn import functional

HEAD = 64
FAST27 = [0, 22, 44, 66, 88, 111, 133, 155, 177, 199, 200, 222, 244, 266, 288]
FAST27 += [311, 333, 355, 377, 399, 400, 500, 599, 600, 799, 800, 997]


class Reference:
    """A checkpoint's network. `grouped` and `padded` switch off what a wrong conversion would miss."""

    def __init__(self, weights, layers, grouped=True, padded=True):
        self.weights = {name: value.double() for name, value in weights.items()}
        self.layers, self.grouped, self.padded = layers, grouped, padded

    def texts(self, ids, mask):
        """Hidden states [B, context, width]."""
        weights = self.weights
        hidden = weights["token_embedding.weight"][ids] + weights["positional_embedding"]
        if self.padded:
            hidden = torch.where(mask[..., None], hidden, weights["padding_embedding"])
        for layer in range(self._count("transformer.resblocks")):
            name = f"transformer.resblocks.{layer}"
            parts = self._linear(f"{name}.attn.c_qkv", self._layer_norm(f"{name}.ln_1", hidden))
            query, key, value = self._heads(parts, 3)
            hidden = hidden + self._linear(f"{name}.attn.c_proj", _attention(query, key, value))
            wide = self._linear(f"{name}.mlp.c_fc", self._layer_norm(f"{name}.ln_2", hidden))
            wide = wide * (1 + torch.erf(wide / math.sqrt(2))) / 2
            hidden = hidden + self._linear(f"{name}.mlp.c_proj", wide)
        return self._layer_norm("final_ln", hidden)

    def __call__(self, pictures, time, texts):
        """Noise and variance [B, 6, H, W] at one timestep."""
        half = self.weights["time_embed.0.weight"].shape[1] // 2
        angles = time * torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float64) / half)
        waves = torch.cat([angles.cos(), angles.sin()])[None]
        about = self._linear("time_embed.2", _silu(self._linear("time_embed.0", waves)))
        about = about + self._linear("transformer_proj", texts[:, -1])
        hidden = self._convolution("input_blocks.0.0", pictures)
        skips = [hidden]
        for block in range(1, self._count("input_blocks")):
            how = "halved" if block % (self.layers + 1) == 0 else None
            hidden = self._residual(f"input_blocks.{block}.0", hidden, about, how)
            hidden = self._attended(f"input_blocks.{block}.1", hidden, texts)
            skips.append(hidden)
        hidden = self._residual("middle_block.0", hidden, about)
        hidden = self._attended("middle_block.1", hidden, texts)
        hidden = self._residual("middle_block.2", hidden, about)
        for block in range(self._count("output_blocks")):
            hidden = torch.cat([hidden, skips.pop()], dim=1)
            hidden = self._residual(f"output_blocks.{block}.0", hidden, about)
            hidden = self._attended(f"output_blocks.{block}.1", hidden, texts)
            for place in (1, 2):
                if f"output_blocks.{block}.{place}.in_layers.0.weight" in self.weights:
                    hidden = self._residual(f"output_blocks.{block}.{place}", hidden, about, "doubled")
        return self._convolution("out.2", _silu(self._group_norm("out.0", hidden)))

    def _residual(self, name, hidden, about, how=None):
        inner = _silu(self._group_norm(f"{name}.in_layers.0", hidden))
        inner, hidden = _resized(inner, how), _resized(hidden, how)
        inner = self._convolution(f"{name}.in_layers.2", inner)
        scale, shift = self._linear(f"{name}.emb_layers.1", _silu(about))[..., None, None].chunk(2, dim=1)
        inner = self._group_norm(f"{name}.out_layers.0", inner) * (1 + scale) + shift
        inner = self._convolution(f"{name}.out_layers.3", _silu(inner))
        if f"{name}.skip_connection.weight" in self.weights:
            hidden = self._convolution(f"{name}.skip_connection", hidden)
        return hidden + inner

    def _attended(self, name, hidden, texts):
        if f"{name}.qkv.weight" not in self.weights:
            return hidden
        places = self._group_norm(f"{name}.norm", hidden).flatten(2).transpose(1, 2)
        query, key, value = self._heads(self._linear(f"{name}.qkv", places), 3)
        text_key, text_value = self._heads(self._linear(f"{name}.encoder_kv", texts), 2)
        seen = _attention(query, torch.cat([text_key, key], 2), torch.cat([text_value, value], 2))
        return hidden + self._linear(f"{name}.proj_out", seen).transpose(1, 2).reshape(hidden.shape)

    def _heads(self, parts, count):
        """Matrices [B, heads, places, HEAD]: the channels of a head are its query, key and value, then the next head's."""
        heads = parts.shape[-1] // count // HEAD
        if not self.grouped:  # as if all queries came first
            return [one.unflatten(-1, (heads, HEAD)).transpose(1, 2) for one in parts.chunk(count, dim=-1)]
        found = []
        for part in range(count):
            starts = [(head * count + part) * HEAD for head in range(heads)]
            found.append(torch.stack([parts[..., start : start + HEAD] for start in starts], dim=1))
        return found

    def _linear(self, name, values):
        return values @ self.weights[f"{name}.weight"].flatten(1).T + self.weights[f"{name}.bias"]

    def _convolution(self, name, values):
        weight = self.weights[f"{name}.weight"]
        return functional.conv2d(values, weight, self.weights[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def _group_norm(self, name, values):
        groups = values.unflatten(1, (32, -1))
        mean, variance = groups.mean((2, 3, 4), True), groups.var((2, 3, 4), correction=0, keepdim=True)
        normal = ((groups - mean) / (variance + 1e-5).sqrt()).flatten(1, 2)
        return normal * self.weights[f"{name}.weight"][:, None, None] + self.weights[f"{name}.bias"][:, None, None]

    def _layer_norm(self, name, values):
        mean, variance = values.mean(-1, True), values.var(-1, correction=0, keepdim=True)
        normal = (values - mean) / (variance + 1e-5).sqrt()
        return normal * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def _count(self, name):
        return len({key.split(".")[name.count(".") + 1] for key in self.weights if key.startswith(f"{name}.")})


def cosine_alphas():
    """Cumulative alphas of squaredcos_cap_v2, 1000 timesteps."""
    levels = [math.cos((place / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 for place in range(1001)]
    betas = [min(1 - levels[place + 1] / levels[place], 0.999) for place in range(1000)]
    return (1 - torch.tensor(betas, dtype=torch.float64)).cumprod(0)


def linear_alphas():
    return (1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)).cumprod(0)


def base_chain(predict, texts, nothing, seeds, side, scale, steps=100):
    """Pictures by ancestral sampling; predict(pictures, time, texts) gives noise and variance. Each seed has its own noise."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    alphas, times = cosine_alphas(), [round(place * 999 / (steps - 1)) for place in range(steps)]
    pictures = _noise(generators, side)
    for place in reversed(range(steps)):
        alpha = alphas[times[place]]
        before = alphas[times[place - 1]] if place else torch.ones((), dtype=torch.float64)
        beta = 1 - alpha / before
        posterior = beta * (1 - before) / (1 - alpha)
        guided, other = predict(pictures, times[place], texts), predict(pictures, times[place], nothing)
        noise = other[:, :3] + scale * (guided[:, :3] - other[:, :3])
        clean = (pictures / alpha.sqrt() - (1 / alpha - 1).sqrt() * noise).clamp(-1, 1)
        mean = (
            beta * before.sqrt() / (1 - alpha) * clean + (1 - before) * (alpha / before).sqrt() / (1 - alpha) * pictures
        )
        share = (guided[:, 3:] + 1) / 2
        pictures = mean
        if place:
            deviation = torch.exp((share * beta.log() + (1 - share) * posterior.log()) / 2)
            pictures = mean + deviation * _noise(generators, side)
    return pictures, generators


def upsampler_chain(predict, texts, small, generators, side):
    """Larger pictures by DDIM with eta 0 at FAST27's timesteps."""
    alphas = linear_alphas()
    seen = functional.interpolate(((small + 1) * 127.5).round() / 127.5 - 1, (side, side), mode="bilinear")
    pictures = 0.997 * _noise(generators, side)
    for place in reversed(range(27)):
        alpha = alphas[FAST27[place]]
        before = alphas[FAST27[place - 1]] if place else torch.ones((), dtype=torch.float64)
        noise = predict(torch.cat([pictures, seen], dim=1), FAST27[place], texts)[:, :3]
        clean = (pictures / alpha.sqrt() - (1 / alpha - 1).sqrt() * noise).clamp(-1, 1)
        noise = (pictures / alpha.sqrt() - clean) / (1 / alpha - 1).sqrt()
        pictures = before.sqrt() * clean + (1 - before).sqrt() * noise
    return pictures


def _noise(generators, side):
    return torch.cat([torch.randn((1, 3, side, side), generator=one) for one in generators]).double()


def _attention(query, key, value):
    """What each place sees, [B, places, heads * HEAD]."""
    weights = (query @ key.transpose(-1, -2) / math.sqrt(HEAD)).softmax(-1)
    return (weights @ value).transpose(1, 2).flatten(2)


def _silu(values):
    return values * values.sigmoid()


def _resized(values, how):
    if how == "halved":
        return functional.avg_pool2d(values, 2)
    return values.repeat_interleave(2, 2).repeat_interleave(2, 3) if how == "doubled" else values
