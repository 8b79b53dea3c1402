"""Models of the real classes, so small that tests can run them, as folders in the formats of diffusers, open_clip and transformers."""

import json
from pathlib import Path

import open_clip
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionImageVariationPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    StableUnCLIPImg2ImgPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer
from safetensors.torch import save_file
from transformers import (
    AddedToken,
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    BlipImageProcessor,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Tokenizer,
    OPTConfig,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)

from pipeline.foundations import table

WIDTH = 32
SIDE = 16
"""Side of the pictures, in pixels; latents have half of it."""
SEEN = 32
"""Side of the pictures that CLIP's image encoder reads, in pixels."""
_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def listed(folder: Path) -> Path:
    """The table of a model's files, beside its folder, as the stage `foundation` writes it."""
    path = folder.parent / f"{folder.name}.parquet"
    table.write(folder, path, {"variant": None, "allow_pickle": False})
    return path


def tokenizer() -> CLIPTokenizer:
    """CLIP's tokenizer with single bytes as its only tokens."""
    # CLIP's own spelling of bytes: printable ones are themselves, the others follow from 256
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = [*map(chr, printable), *(chr(256 + place) for place in range(len(others)))]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer({word: place for place, word in enumerate(words)}, [], model_max_length=77)


def stable_diffusion(
    folder: Path, seed: int = 0, scheduler: type = PNDMScheduler, threshold: float | None = None
) -> Path:
    """A Stable Diffusion model with random weights, saved in `folder`.

    With a threshold, it has a safety checker, which flags pictures that are at least that close to any of 17 concepts.
    """
    torch.manual_seed(seed)
    words = tokenizer()
    pipeline = StableDiffusionPipeline(
        text_encoder=CLIPTextModel(_text(words)),
        tokenizer=words,
        unet=_unet(),
        scheduler=_scheduler(scheduler),
        vae=_vae(),
        safety_checker=None if threshold is None else _safety_checker(threshold),
        feature_extractor=None if threshold is None else _feature_extractor(),
        requires_safety_checker=threshold is not None,
    )
    pipeline.save_pretrained(folder)
    return folder


def image_variation(folder: Path, seed: int = 0) -> Path:
    """A Stable Diffusion Image Variation model with random weights, saved in `folder`."""
    torch.manual_seed(seed)
    pipeline = StableDiffusionImageVariationPipeline(
        image_encoder=image_encoder(),
        feature_extractor=_feature_extractor(),
        unet=_unet(),
        scheduler=_scheduler(PNDMScheduler),
        vae=_vae(),
        safety_checker=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def unclip(folder: Path, seed: int = 0) -> Path:
    """A Stable unCLIP model with random weights, saved in `folder`."""
    torch.manual_seed(seed)
    words = tokenizer()
    normalizer = StableUnCLIPImageNormalizer(WIDTH)
    normalizer.mean.data.normal_(std=0.1)
    normalizer.std.data.uniform_(0.5, 1.5)
    pipeline = StableUnCLIPImg2ImgPipeline(
        image_encoder=image_encoder(),
        feature_extractor=_feature_extractor(),
        image_normalizer=normalizer,
        image_noising_scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        text_encoder=CLIPTextModel(_text(words)),
        tokenizer=words,
        unet=_unet(class_embed_type="projection", projection_class_embeddings_input_dim=2 * WIDTH),
        scheduler=_scheduler(DDIMScheduler, prediction_type="v_prediction"),
        vae=_vae(),
    )
    pipeline.save_pretrained(folder)
    return folder


def stable_diffusion_xl(folder: Path, seed: int = 0) -> Path:
    """A Stable Diffusion XL model with random weights, saved in `folder`: a class that our own loop does not draw."""
    torch.manual_seed(seed)
    words = tokenizer()
    text = _text(words, hidden_act="gelu")
    unet = UNet2DConditionModel(
        sample_size=SIDE // 2,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=2 * WIDTH,
        attention_head_dim=8,
        norm_num_groups=8,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH,
    )
    pipeline = StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(text),
        text_encoder_2=CLIPTextModelWithProjection(text),
        tokenizer=words,
        tokenizer_2=tokenizer(),
        unet=unet,
        scheduler=EulerDiscreteScheduler(steps_offset=1, **_BETAS),
    )
    pipeline.save_pretrained(folder)
    return folder


def image_encoder(projection_dim: int = WIDTH) -> CLIPVisionModelWithProjection:
    """CLIP's image encoder with random weights."""
    return CLIPVisionModelWithProjection(_vision(projection_dim))


def clip(folder: Path, seed: int = 0) -> Path:
    """A CLIP model with random weights in open_clip's format, saved in `folder`."""
    torch.manual_seed(seed)
    words = tokenizer()
    model = {
        "embed_dim": WIDTH,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": WIDTH, "head_width": 8, "patch_size": 8},
        "text_cfg": {
            "context_length": 77,
            "vocab_size": len(words),
            "hf_tokenizer_name": "tokenizer",
            "width": WIDTH,
            "heads": 4,
            "layers": 2,
        },
    }
    look = {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model, "preprocess_cfg": look}))
    words.save_pretrained(folder)
    network = open_clip.CLIP(**model)
    torch.nn.init.normal_(network.text_projection, std=0.5)
    save_file(network.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def _unet(**more: str | int) -> UNet2DConditionModel:
    """A U-Net that attends to vectors of WIDTH."""
    return UNet2DConditionModel(
        sample_size=SIDE // 2,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=8,
        norm_num_groups=8,
        **more,
    )


def _scheduler(kind: type, **more: str) -> PNDMScheduler | DDIMScheduler:
    """A scheduler as Stable Diffusion has it."""
    how = {"skip_prk_steps": True} if kind is PNDMScheduler else {"clip_sample": False}
    return kind(set_alpha_to_one=False, steps_offset=1, **_BETAS, **how, **more)


def _vision(projection_dim: int = WIDTH) -> CLIPVisionConfig:
    """An image encoder's shape."""
    return CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=SEEN,
        patch_size=8,
        projection_dim=projection_dim,
    )


def _feature_extractor() -> CLIPImageProcessor:
    """What prepares pictures for the image encoder."""
    return CLIPImageProcessor(size={"shortest_edge": SEEN}, crop_size={"height": SEEN, "width": SEEN})


def _safety_checker(threshold: float) -> StableDiffusionSafetyChecker:
    """A safety checker for random concepts, none of which needs special care."""
    config = CLIPConfig(vision_config=_vision().to_dict(), projection_dim=WIDTH)
    checker = StableDiffusionSafetyChecker(config)
    checker.concept_embeds.data.normal_()
    checker.concept_embeds_weights.data.fill_(threshold)
    checker.special_care_embeds_weights.data.fill_(2.0)
    return checker


def gpt2(folder: Path, seed: int = 0, chat_template: str | None = None) -> Path:
    """A causal language model with random weights, saved in `folder`; its tokens are letters."""
    torch.manual_seed(seed)
    words = _letters()
    words.chat_template = chat_template
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(words),
            n_embd=WIDTH,
            n_layer=2,
            n_head=4,
            n_positions=512,
            bos_token_id=words.eos_token_id,
            eos_token_id=words.eos_token_id,
        )
    )
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def t5(folder: Path, seed: int = 0) -> Path:
    """A T5 with random weights, saved in `folder`; its tokens are letters."""
    torch.manual_seed(seed)
    words = _pieces()
    T5ForConditionalGeneration(_t5(len(words))).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def blip2(folder: Path, seed: int = 0, language: str = "opt") -> Path:
    """BLIP-2 with random weights, saved in `folder`, with an OPT or a T5 as its language model."""
    torch.manual_seed(seed)
    words = _letters() if language == "opt" else _pieces()
    words.add_tokens([AddedToken("<image>", special=True, normalized=False)])
    opt = OPTConfig(
        vocab_size=len(words),
        hidden_size=WIDTH,
        word_embed_proj_dim=WIDTH,
        ffn_dim=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    shape = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = Blip2Config(
        vision_config=Blip2VisionConfig(**shape, image_size=2 * SIDE, patch_size=8).to_dict(),
        qformer_config=Blip2QFormerConfig(**shape, encoder_hidden_size=WIDTH, vocab_size=100).to_dict(),
        text_config=(opt if language == "opt" else _t5(len(words))).to_dict(),
        num_query_tokens=4,
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )
    model = Blip2ForConditionalGeneration(config)
    for weights in model.parameters():  # so that texts depend on pictures, and words on those before them
        if weights.ndim > 1:
            torch.nn.init.normal_(weights, std=0.4)
    model.save_pretrained(folder)
    look = BlipImageProcessor(size={"height": 2 * SIDE, "width": 2 * SIDE})
    Blip2Processor(look, words, num_query_tokens=4).save_pretrained(folder)
    return folder


def _letters() -> GPT2Tokenizer:
    """GPT-2's tokenizer with the printable letters of ASCII, and the blank, as its only tokens."""
    words = ["<|endoftext|>", "Ġ", *map(chr, range(33, 127))]
    return GPT2Tokenizer({word: place for place, word in enumerate(words)}, [])


def _pieces() -> T5Tokenizer:
    """T5's tokenizer with the printable letters of ASCII, and the blank, as its only tokens."""
    pieces = ["<pad>", "</s>", "<unk>", "▁", *map(chr, range(33, 127))]
    return T5Tokenizer(vocab=[(piece, -float(place > 2)) for place, piece in enumerate(pieces)], extra_ids=0)


def _t5(tokens: int) -> T5Config:
    return T5Config(
        vocab_size=tokens,
        d_model=WIDTH,
        d_kv=8,
        d_ff=2 * WIDTH,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
    )


def _text(words: CLIPTokenizer, **more: str) -> CLIPTextConfig:
    """A text encoder's shape, for these tokens."""
    return CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=WIDTH,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
        **more,
    )


def _vae() -> AutoencoderKL:
    """A VAE that halves the side."""
    return AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=SIDE,
    )
