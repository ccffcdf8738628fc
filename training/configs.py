"""The parts of a recipe that networks and objectives are built from.

They stand apart from ``recipe.py``, which validates them against the registries of networks and objectives.
"""

from typing import Literal

from PIL import ImageColor
from pydantic import BaseModel, ConfigDict, Field, field_validator

Crop = Literal["center", "pad"]
GROUP = 8  # images that a critic with minibatch_std compares
CLASS_GROUP = 4  # the same of one class: a batch of 64 has 16 classes, over which BatchNorm's statistics are steady


class Frozen(BaseModel):
    """A validated, immutable group of fields; an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ImagesConfig(Frozen):
    """How an image enters the networks."""

    size: int  # height and width in pixels
    channels: Literal[1, 3]  # grey or RGB
    crop: Crop = "center"  # the central square, or the whole image on a square of the background
    background: str = "white"  # colour behind transparency and padding: a name, or #rrggbb
    flip: bool = False  # mirror at random: for subjects where left and right mean nothing

    @field_validator("background")
    @classmethod
    def _is_a_colour(cls, value: str) -> str:
        ImageColor.getrgb(value)  # raises ValueError
        return value


class GeneratorConfig(Frozen):
    """The generator's family and its dimensions."""

    family: str  # kind of network, see the table below
    latent_dim: int = Field(ge=1, le=4096)  # numbers in a latent
    width: int = Field(ge=1)  # filters next to the image (transposed, styled), of the first map (upsample)
    max_width: int = Field(512, ge=1)  # filters double towards the small maps up to this (transposed, styled)
    second_stride: Literal[2, 4] = 2  # 4 goes from 4 pixels to 16 in one layer (transposed)
    skip_excitation: bool = False  # small maps gate the large ones (transposed)


class CriticConfig(Frozen):
    """The critic (WGAN) or discriminator (DCGAN)."""

    family: str = "strided"  # kind of network, see the table below
    width: int = Field(ge=1)  # filters next to the image; they double with every halving, up to max_width
    max_width: int = Field(512, ge=1)  # filters of a small map at most
    norm: Literal["none", "batch"] = "none"  # batch, in all layers but the first, does not go with a penalty
    dropout: float = Field(0.0, ge=0, lt=1)  # probability that a channel (strided) or a feature (conv3x3) is dropped
    minibatch_std: bool = False  # append the standard deviation of a group of 8 images, or of 4 of one class
    reconstruction: float = Field(0.0, ge=0)  # weight of redrawing real images from the features (Liu et al. 2021)
    frozen: int = Field(0, ge=0)  # first convolutions that keep what --init-from gave them (Mo et al. 2020, "FreezeD")


class ObjectiveConfig(Frozen):
    """The two losses and the gradient penalty."""

    name: str  # see the table below
    penalty: float = Field(0.0, ge=0)  # weight of the gradient penalty (wgan-gp), gamma of R1 (dcgan), R1 + R2 (r3gan)
    penalty_every: int = Field(1, ge=1)  # critic steps; a lazy penalty is weighted up by as much
    critic_steps: int = Field(1, ge=1)  # for one of the generator
    real_label: float = Field(1.0, gt=0.5, le=1)  # one-sided label smoothing (dcgan, gan)


class OptimiserConfig(Frozen):
    """Adam for both networks, at two learning rates (Heusel et al. 2017)."""

    generator_lr: float = Field(gt=0)  # learning rate
    critic_lr: float = Field(gt=0)  # learning rate
    betas: tuple[float, float] = (0.5, 0.999)  # Adam's decay rates of the gradients' mean and of their squares' mean
    decay: bool = False  # both rates fall linearly to zero over the run


class NetworksConfig(Frozen):
    """What determines both networks; every recipe is one."""

    images: ImagesConfig
    generator: GeneratorConfig
    critic: CriticConfig
