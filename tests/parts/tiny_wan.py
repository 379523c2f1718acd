"""diffusers' own Wan transformer at a size for tests."""

import torch

from realmaster_live.training.rehearsal.folders import TINY


def make_wan(heads: int = 2) -> torch.nn.Module:
    """The same random weights every time."""
    from diffusers import WanTransformer3DModel  # seconds: only a process that draws one pays

    torch.manual_seed(0)
    sizes = {"num_attention_heads": heads, "in_channels": 4, "out_channels": 4}
    return WanTransformer3DModel(**TINY.transformer | sizes).eval()


def answer_wan(model: torch.nn.Module) -> torch.Tensor:
    """What it makes of one latent, one text and one timestep."""
    generator = torch.Generator().manual_seed(1)
    latent = torch.randn(1, 4, 2, 4, 4, generator=generator)
    text = torch.randn(1, 3, 16, generator=generator)
    return model(latent, torch.tensor([500.0]), text, return_dict=False)[0]
