"""A timm backbone on each frame, and recurrent cells or attention over the sequence of its features.

A sequence model's logit is the mean of its frames' logits plus a residual that starts at zero: it starts as the frame
model, and training adds what the order of frames shows.
"""

import torch
from torch import Tensor, nn

from dfd.models.backbone import create_backbone
from dfd.models.contract import ClipModel, ClipSize, ModelConfig
from dfd.models.layers import mean_and_max, small_head, zero_head
from dfd.models.weights import load_head


class Frame(ClipModel):
    """The baseline that every temporal model must beat: the mean of the frames' logits."""

    def __init__(self, config: ModelConfig, clip: ClipSize) -> None:
        backbone = create_backbone(config, clip)
        super().__init__(clip, backbone.pretrained_cfg["mean"], backbone.pretrained_cfg["std"])
        # Memory format channels_last doubles the speed of 2D convolutions on a CPU.
        self.backbone = backbone.to(memory_format=torch.channels_last)
        self.dropout = nn.Dropout(config.dropout)
        self.head = small_head(backbone.head_hidden_size)
        if config.weights is not None:
            load_head(self.head, config.weights)

    def maps(self, pixels: Tensor) -> Tensor:
        """The backbone's feature maps of each frame: (B,3,T,H,W) -> (B*T,C,h,w), with frames in the batch dimension."""
        frames = pixels.transpose(1, 2).flatten(0, 1)
        return self.backbone.forward_features(frames.contiguous(memory_format=torch.channels_last))

    def pooled(self, maps: Tensor) -> Tensor:
        """One feature vector per frame: (B*T,C,h,w) -> (B,T,F)."""
        return self.backbone.forward_head(maps, pre_logits=True).unflatten(0, (-1, self.clip.frames))

    def frame_logit(self, features: Tensor) -> Tensor:
        """Mean of the frames' logits: (B,T,F) -> (B,)."""
        return self.head(self.dropout(features)).mean(dim=(1, 2))

    def logits(self, pixels: Tensor) -> Tensor:
        """The mean of the frames' logits."""
        return self.frame_logit(self.pooled(self.maps(pixels)))


class Recurrent(nn.Module):
    """A bidirectional recurrent cell, with the mean and maximum of its states over time: (B,T,F) -> (B,4H)."""

    def __init__(self, cell: type[nn.LSTM] | type[nn.GRU], features: int, hidden: int) -> None:
        super().__init__()
        self.cell = cell(features, hidden, batch_first=True, bidirectional=True)
        self.width = 4 * hidden

    def forward(self, features: Tensor) -> Tensor:
        """(B,T,F) -> (B,4H)."""
        return mean_and_max(self.cell(features)[0])


class GatedAttention(nn.Module):
    """Mean of the frames' features, weighted by a learned score of each frame: (B,T,F) -> (B,F).

    It does not depend on the order of frames. Source: Ilse et al. 2018, "Attention-based deep multiple instance
    learning", equation 9.
    """

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.value = nn.Linear(features, hidden)
        self.gate = nn.Linear(features, hidden)
        self.worth = nn.Linear(hidden, 1)
        self.width = features

    def forward(self, features: Tensor) -> Tensor:
        """(B,T,F) -> (B,F)."""
        worth = self.worth(torch.tanh(self.value(features)) * torch.sigmoid(self.gate(features)))
        return (features * worth.softmax(dim=1)).sum(dim=1)


class SequenceModel(Frame):
    """`Frame` plus a residual from the sequence of features, which subclasses pool."""

    def __init__(self, config: ModelConfig, clip: ClipSize) -> None:
        super().__init__(config, clip)
        self.pool = self.make_pool(self.head.in_features, config.hidden)
        self.residual = zero_head(self.pool.width)

    def make_pool(self, features: int, hidden: int) -> Recurrent | GatedAttention:
        """The module that pools features (B,T,F) into one vector per clip (B,width)."""
        raise NotImplementedError

    def logits(self, pixels: Tensor) -> Tensor:
        """Mean frame logit plus the sequence's residual."""
        features = self.pooled(self.maps(pixels))
        return self.frame_logit(features) + self.residual(self.dropout(self.pool(features))).squeeze(1)


class Lstm(SequenceModel):
    """A 2D network and an LSTM over its frames."""

    def make_pool(self, features: int, hidden: int) -> Recurrent:
        """An LSTM's states."""
        return Recurrent(nn.LSTM, features, hidden)


class Gru(SequenceModel):
    """A 2D network and a GRU over its frames."""

    def make_pool(self, features: int, hidden: int) -> Recurrent:
        """A GRU's states."""
        return Recurrent(nn.GRU, features, hidden)


class Attention(SequenceModel):
    """A 2D network and gated attention over its frames."""

    def make_pool(self, features: int, hidden: int) -> GatedAttention:
        """The attended features."""
        return GatedAttention(features, hidden)
