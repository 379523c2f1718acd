"""diffusers' own Wan transformer at a size for tests."""

import torch
from diffusers import WanTransformer3DModel


def make_wan(heads: int = 2) -> WanTransformer3DModel:
    """The same random weights every time."""
    torch.manual_seed(0)
    return WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=heads,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        text_dim=16,
        freq_dim=16,
        ffn_dim=32,
        num_layers=2,
        rope_max_seq_len=32,
    ).eval()


def answer_wan(model: WanTransformer3DModel) -> torch.Tensor:
    """What it makes of one latent, one text and one timestep."""
    generator = torch.Generator().manual_seed(1)
    latent = torch.randn(1, 4, 2, 4, 4, generator=generator)
    text = torch.randn(1, 3, 16, generator=generator)
    return model(latent, torch.tensor([500.0]), text, return_dict=False)[0]
