"""Settings of a training. Without Lightning, whose import takes seconds."""

from pydantic import Field

from dfd.clips.balance import DrawConfig
from dfd.training.optimizers import OptimizerName


class TrainConfig(DrawConfig):
    """How a model is trained. Saved with it."""

    epochs: int = Field(8, ge=1, le=10_000, description="passes over the training videos")
    batch: int = Field(8, ge=1, le=4096, description="clips in a batch")
    accumulate: int = Field(1, ge=1, le=1024, description="gradient accumulation: batches in one step")
    optimizer: OptimizerName = Field("adamw", description="sgd, adam, adamw, nadam, amsgrad, nd-adam")
    lr: float = Field(1e-3, gt=0, le=1, description="peak learning rate of layers without pretrained weights")
    backbone_lr: float = Field(0.1, gt=0, le=1, description="learning rate of a pretrained backbone, as a factor of lr")
    weight_decay: float = Field(0.01, ge=0, le=1, description="of weights only, not of biases and normalisation")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps over which the learning rate rises")
    smoothing: float = Field(
        0.05, ge=0, lt=0.5, description="label smoothing: 1 becomes 1 - smoothing, 0 becomes smoothing"
    )
    ema: float = Field(
        0.0, ge=0, lt=1, description="decay a step of the EMA of weights, which is saved as the model; 0: no EMA"
    )
    clip_norm: float = Field(1.0, gt=0, le=1e6, description="largest norm of a step's gradient")
    precision: str = Field(
        "32-true",
        pattern="^(32-true|bf16-mixed|16-mixed)$",
        description="arithmetic: 32-true, bf16-mixed, 16-mixed",
    )
    patience: int = Field(
        0,
        ge=0,
        le=10_000,
        description="early stopping: epochs without a better loss on a fifth of the training videos, which is held out "
        "for this; the best weights are kept; 0: train on all videos, to the end",
    )
    loaders: int = Field(0, ge=0, le=64, description="processes that load clips; 0: the training process loads them")
