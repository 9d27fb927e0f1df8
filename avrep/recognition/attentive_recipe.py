"""What an attentive probe does, as one frozen config, and V-JEPA's."""

from pydantic import Field

from avrep.augment.erase import EraseConfig
from avrep.augment.rand_augment import RandAugmentConfig
from avrep.augment.video_config import VideoAugmentConfig
from avrep.errors import ConfigError
from avrep.frozen import FrozenConfig
from avrep.models.mixed_precision import Precision
from avrep.recognition.recipe import crop_and_flip
from avrep.recognition.views import IMAGENET_MEAN, IMAGENET_STD, ViewsConfig
from avrep.sampling.clips import ClipConfig


class HeadRates(FrozenConfig):
    """What one probe of several that are trained side by side is trained with."""

    lr: float = Field(gt=0)
    """Its first learning rate; half a cosine brings it to 0."""
    weight_decay: float = Field(ge=0)
    """AdamW's, on matrices and on the query."""
    final_weight_decay: float | None = Field(default=None, ge=0)
    """To which half a cosine brings it; None: it stays."""


VJEPA_RATES = HeadRates(lr=1e-3, weight_decay=0.01, final_weight_decay=1e-6)
VJEPA2_GRID = tuple(
    HeadRates(lr=lr, weight_decay=weight_decay)
    for lr in (5e-3, 3e-3, 1e-3, 3e-4, 1e-4)
    for weight_decay in (0.01, 0.1, 0.4, 0.8)
)
"""V-JEPA 2's released evaluation trains these twenty side by side; their weight decay stays."""


class AttentiveRecipe(FrozenConfig):
    """How probes are trained on a frozen encoder's tokens, and tested.

    The defaults are V-JEPA's on Something-Something (arXiv 2404.08471; released configs/evals and
    evals/video_classification_frozen): 2 clips of 16 frames at stride 4, whose tokens one query attends
    to together, in training one drawn in each equal part of the video, AdamW at 0.001 with weight decay 0.01, which falls to 1e-6, for 20 epochs, no warm-up, gradients of length 1
    at most, batches of 256 (64 GPUs x 4), RandAugment rand-m7-n4-mstd0.5-inc1 and random erasing 0.25,
    tested with 3 crops.
    """

    name: str = "vjepa-2x3"
    """Whose recipe it is."""
    differs: tuple[str, ...] = (
        "RandAugment sees frames scaled to a short side of 256 pixels, there as they are stored",
        "a part of the train videos is held out, to choose on",
    )
    """What is not as published, or was not found; told with every result."""
    clip: ClipConfig = ClipConfig(num_frames=16, stride=4)
    short_side_px: int | None = Field(default=256, ge=8, le=4096)
    """Frames are decoded to this short side before training's crop; None: as stored."""
    augment: VideoAugmentConfig = crop_and_flip(224, flip=False).model_copy(
        update={
            "mean": IMAGENET_MEAN,
            "std": IMAGENET_STD,
            "rand_augment": RandAugmentConfig(),
            "erase": EraseConfig(),
        }
    )
    """Of the training clips; the mean and deviation of its pixels are those of testing too."""
    views: ViewsConfig = ViewsConfig(num_clips=2, num_crops=3, short_side_px=224)
    """How videos are tested."""
    attend_across_clips: bool = True
    """The query attends to the tokens of all clips of a video at once, in training as in testing;
    otherwise to each clip's, and a video's probabilities are the mean."""
    num_heads: int | None = Field(default=None, ge=1)
    """Of the attention, a divisor of the encoder's width; None: as many as make heads of 64."""
    rates: tuple[HeadRates, ...] = Field(default=(VJEPA_RATES,), min_length=1, max_length=64)
    """One probe each, all trained on the same tokens; that which does best on held-out train videos is
    tested. If none can be held out, it is the first."""
    num_epochs: int = Field(default=20, gt=0)
    batch_size: int = Field(default=256, gt=0)
    """Videos of a step."""
    max_grad_norm: float | None = Field(default=1.0, gt=0)
    """Of each probe."""
    precision: Precision = "fp32"
    """Of the encoder and the probes; V-JEPA's is bf16."""
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Share of the train videos that is held out, by group."""
    store_bytes: int = Field(default=0, ge=0)
    """0: every epoch sends new clips, augmented, through the encoder, as published. Otherwise tokens of
    the test's clips of each train video, central crops, are stored on disk once, as float16, if they
    need no more than so many bytes, and all epochs are of those."""

    @property
    def held_out_fraction(self) -> float | None:
        """Share of the train videos that is held out."""
        return self.validation_fraction

    @property
    def clips_in_training(self) -> int:
        """Clips of a video that a probe sees at once while it is trained."""
        return self.views.num_clips if self.attend_across_clips else 1


def attentive_recipes() -> dict[str, AttentiveRecipe]:
    """The probes that have a name.

    "vjepa-2x3" is V-JEPA's on Something-Something, "vjepa-8x3" that on Kinetics-400, with 8 clips.
    "-grid" tries V-JEPA 2's twenty pairs of rates beside V-JEPA's own, still with one block; V-JEPA 2 has four.
    """
    few = AttentiveRecipe()
    eight = few.views.model_copy(update={"num_clips": 8})
    grid = {
        "rates": (VJEPA_RATES, *VJEPA2_GRID),
        "differs": (*few.differs, "rates are chosen among V-JEPA 2's; V-JEPA has one pair"),
    }
    recipes = (
        few,
        few.model_copy(update={"name": "vjepa-8x3", "views": eight}),
        few.model_copy(update={"name": "vjepa-2x3-grid", **grid}),
        few.model_copy(update={"name": "vjepa-8x3-grid", "views": eight, **grid}),
    )
    return {recipe.name: recipe for recipe in recipes}


def attentive_recipe(name: str) -> AttentiveRecipe:
    """The recipe of a name.

    Raises:
        ConfigError: there is none, listing those that there are.
    """
    recipes = attentive_recipes()
    if name not in recipes:
        raise ConfigError(f"no attentive probe {name!r}; there are {', '.join(recipes)}")
    return recipes[name]
