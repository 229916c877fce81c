"""Divided attention laid out for inference: every frame carries a copy of the class token through all blocks.

Knows no runtime. The same function as `network.Encoder` up to rounding, with fewer operations and far fewer moves: the
tokens that attend in space lie side by side from the first block to the last, so that nothing is cut apart and put
together again. In time the copies attend, too, and what they would gain is multiplied by zero; in space their mean is
what each takes on. After the last block only the class token is read, so there it alone asks and goes through the MLP.

Shape suffixes: B clips, T frames, N = B * T, S = 1 + patches of a frame, D features, M hidden.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.timesformer.block import Block, PatchStep
from models.timesformer.network import Encoder


class DividedEncoder(nn.Module):
    """uint8 frames_NHWC of one view to fp32 features_BD. Made of an encoder whose projections are folded already."""

    def __init__(self, folded: Encoder) -> None:
        super().__init__()
        self.num_frames = folded.config.num_frames
        self.embedding = folded.embedding
        blocks = [block for block in folded.blocks if isinstance(block, Block)]
        self.blocks = nn.ModuleList(DividedBlock(block, folded.config.num_frames) for block in blocks[:-1])
        self.last_block = DividedBlock(blocks[-1], folded.config.num_frames)
        self.norm = folded.norm

    def forward(self, frames_NHWC: Tensor) -> Tensor:
        tokens = self.embedding(frames_NHWC)
        dim = tokens.shape[-1]
        class_N1D = tokens[:, None, :1].expand(-1, self.num_frames, -1, -1).reshape(-1, 1, dim)
        patches_NPD = torch.unflatten(tokens[:, 1:], 1, (self.num_frames, -1)).flatten(0, 1)
        tokens_NSD = torch.cat((class_N1D, patches_NPD), dim=1)
        for block in self.blocks:
            tokens_NSD = block(tokens_NSD)
        features_BD: Tensor = self.norm(self.last_block.class_after(tokens_NSD))
        return features_BD.float()


class DividedBlock(nn.Module):
    """tokens_NSD to the same; the first of each frame is the class token, alike in all frames of a clip."""

    is_patch_S1: Tensor

    def __init__(self, folded: Block, num_frames: int) -> None:
        super().__init__()
        self.num_frames = num_frames
        (in_time,) = folded.patch_steps
        assert isinstance(in_time, PatchStep)
        self.time_norm, self.time_attention = in_time.norm, in_time.attention
        self.space_norm, self.space_attention = folded.norm, folded.attention
        self.mlp_norm, self.mlp_in, self.mlp_out = folded.mlp_norm, folded.mlp_in, folded.mlp_out
        num_patches = folded.grouping.axes[-1]
        is_patch_S1 = torch.cat((torch.zeros(1, 1), torch.ones(num_patches, 1)))
        self.register_buffer("is_patch_S1", is_patch_S1, persistent=False)

    def forward(self, tokens_NSD: Tensor) -> Tensor:
        tokens_NSD = self._in_time(tokens_NSD)
        tokens_NSD = tokens_NSD + self.space_attention(self.space_norm(tokens_NSD))
        class_B1D = self._over_frames(tokens_NSD[:, 0])
        class_N1D = class_B1D[:, None].expand(-1, self.num_frames, -1, -1).flatten(0, 1)
        tokens_NSD = torch.cat((class_N1D, tokens_NSD[:, 1:]), dim=1)
        found_NSD: Tensor = tokens_NSD + self._mlp(tokens_NSD)
        return found_NSD

    def class_after(self, tokens_NSD: Tensor) -> Tensor:
        """class_BD after this block, as the last one: no patch is read any more."""
        tokens_NSD = self._in_time(tokens_NSD)
        normed_NSD = self.space_norm(tokens_NSD)
        class_N1D = tokens_NSD[:, :1] + self.space_attention(normed_NSD, normed_NSD[:, :1])
        class_B1D = self._over_frames(class_N1D[:, 0])
        return (class_B1D + self._mlp(class_B1D))[:, 0]

    def _in_time(self, tokens_NSD: Tensor) -> Tensor:
        num_tokens, dim = tokens_NSD.shape[1:]
        by_frame = torch.unflatten(self.time_norm(tokens_NSD), 0, (-1, self.num_frames))
        found = self.time_attention(by_frame.transpose(1, 2).reshape(-1, self.num_frames, dim))
        found_NSD = found.reshape(-1, num_tokens, self.num_frames, dim).transpose(1, 2).reshape(tokens_NSD.shape)
        gained_NSD: Tensor = tokens_NSD + found_NSD * self.is_patch_S1
        return gained_NSD

    def _over_frames(self, class_ND: Tensor) -> Tensor:
        """class_B1D."""
        return torch.unflatten(class_ND, 0, (-1, self.num_frames)).mean(dim=1, keepdim=True)

    def _mlp(self, tokens: Tensor) -> Tensor:
        hidden = F.gelu(self.mlp_in(self.mlp_norm(tokens)))
        added: Tensor = self.mlp_out(hidden)
        return added
