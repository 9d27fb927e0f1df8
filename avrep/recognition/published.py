"""Fine-tuning as it was published, with what is known of where each value stands.

Values are those of the released code where there is one. What a recipe's source does not tell, or
what avrep does otherwise, its `differs` says; every result carries it. Published figures mostly chose
their epoch on the test split; here that is never done.
"""

from avrep.augment.erase import EraseConfig
from avrep.augment.mixing import MixingConfig
from avrep.augment.rand_augment import RandAugmentConfig
from avrep.augment.video_config import VideoAugmentConfig
from avrep.errors import ConfigError
from avrep.recognition.recipe import FinetuneRecipe, crop_and_flip
from avrep.recognition.views import IMAGENET_MEAN, IMAGENET_STD, ViewsConfig
from avrep.sampling.clips import ClipConfig
from avrep.training.optim import OptimConfig

_CHOSEN = "the epoch is chosen on held-out train videos, which the source trains on"
_NO_FOUND_DROPOUT = "dropout before the head: not found, none here"


def _imagenet(augment: VideoAugmentConfig) -> VideoAugmentConfig:
    return augment.model_copy(update={"mean": IMAGENET_MEAN, "std": IMAGENET_STD})


def vcop() -> FinetuneRecipe:
    """VCOP (Xu et al., CVPR 2019), released ft_classify.py: C3D, R3D and R(2+1)D on UCF101 and HMDB51.

    SGD 0.001, momentum 0.9, weight decay 5e-4 on all parameters, batch 8, 150 epochs at one rate; 16
    frames at stride 1, scaled to 171 x 128, random crops of 112 pixels, no mirror images, values in
    [0, 1]; 10 clips under a central crop. It holds out 800 of UCF101's train videos (400 of HMDB51's)
    at random and takes the epoch of the least loss there.
    """
    # 112 x 112 of 171 x 128.
    share = 112 * 112 / (171 * 128)
    augment = crop_and_flip(112, area=(share, share), aspect=(1.0, 1.0), flip=False)
    return FinetuneRecipe(
        name="vcop",
        differs=(
            "the crop is 112 pixels of frames of 4:3, and as large a share of others, whose aspect "
            "stays; the source squeezes all to 171 x 128",
            "held out by group and chosen by accuracy; the source holds out at random, by loss",
            "what is averaged over clips: not found, probabilities here",
        ),
        clip=ClipConfig(num_frames=16, stride=1),
        short_side_px=128,
        augment=augment.model_copy(update={"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}),
        optim=OptimConfig(name="sgd", lr=1e-3, momentum=0.9, weight_decay=5e-4, decay_vectors=True),
        batch_size=8,
        num_epochs=150,
        warmup_epochs=0,
        schedule="steps",
        views=ViewsConfig(num_clips=10, num_crops=1, short_side_px=128),
    )


def _rspnet(
    name: str,
    *,
    lr: float,
    batch_size: int,
    num_epochs: int,
    num_frames: int = 16,
    crop_px: int = 112,
    fps: float | None = None,
    drop_epochs: tuple[float, ...] = (),
    num_clips: int = 10,
) -> FinetuneRecipe:
    """RSPNet (arXiv 2011.07949), released config/finetune.

    SGD with momentum 0.9 and weight decay 1e-4 on all parameters; cosine to a thousandth of the rate
    where no steps are given; crops of 0.25 to 1 of the frame, mirror images; ImageNet's pixel values;
    tested by the largest central square, mean of logits. Batches are per GPU.
    """
    return FinetuneRecipe(
        name=name,
        differs=(
            _CHOSEN + "; it takes the best on the test split",
            "the learning rate falls at each step, there at each epoch",
            "the batch is that of one GPU; the authors ran UCF101's R(2+1)D with 32 in all",
            _NO_FOUND_DROPOUT,
        ),
        clip=ClipConfig(num_frames=num_frames, stride=1, fps=fps),
        augment=_imagenet(crop_and_flip(crop_px, area=(0.25, 1.0))),
        optim=OptimConfig(name="sgd", lr=lr, momentum=0.9, weight_decay=1e-4, decay_vectors=True),
        batch_size=batch_size,
        num_epochs=num_epochs,
        warmup_epochs=0,
        schedule="steps" if drop_epochs else "cosine",
        drop_epochs=drop_epochs,
        final_lr=0.0 if drop_epochs else lr / 1000,
        views=ViewsConfig(
            num_clips=num_clips, num_crops=1, short_side_px=crop_px, average="logits"
        ),
    )


def videomae_ucf101() -> FinetuneRecipe:
    """VideoMAE's ViT-B on UCF101 (arXiv 2203.12602), released scripts/ucf101/**/finetune.sh.

    AdamW, 5e-4 for 256 videos: run_class_finetuning.py multiplies it by the batch of 128 videos (8 x
    16) divided by 256, and the final rate 1e-5 too. Each video gives two clips. Betas 0.9 and 0.999,
    weight decay 0.05, layer decay 0.7, 100 epochs, 5 of warm-up from 0; drop path 0.2, dropout 0.5,
    label smoothing 0.1, mixup 0.8, CutMix 1; RandAugment rand-m7-n4-mstd0.5-inc1 and random erasing
    0.25, both by default there; the head starts at a thousandth of 0.02. 16 frames at stride 4, 224
    pixels; 5 clips x 3 crops.
    """
    augment = crop_and_flip(224).model_copy(
        update={"rand_augment": RandAugmentConfig(), "erase": EraseConfig()}
    )
    return FinetuneRecipe(
        name="videomae-ucf101",
        differs=(
            _CHOSEN,
            "RandAugment sees frames scaled to a short side of 256 pixels, there as they are stored",
            "mixup and CutMix are drawn for each clip, there for each batch of a GPU",
            "tokens are normed before their mean, there after it",
        ),
        clip=ClipConfig(num_frames=16, stride=4),
        form="spread",
        augment=_imagenet(augment),
        draws_per_visit=2,
        mixing=MixingConfig(),
        label_smoothing=0.1,
        dropout=0.5,
        drop_path=0.2,
        head_std=2e-5,
        optim=OptimConfig(
            name="adamw", lr=2.5e-4, weight_decay=0.05, layer_decay=0.7, betas=(0.9, 0.999)
        ),
        batch_size=256,
        num_epochs=100,
        warmup_epochs=5,
        final_lr=5e-6,
        views=ViewsConfig(num_clips=5, num_crops=3, short_side_px=224),
    )


def videomae_hmdb51() -> FinetuneRecipe:
    """VideoMAE on HMDB51: 50 epochs at 1e-3 (of 256 videos), stride 2, 10 clips x 3 crops (paper).

    All else is as in `videomae_ucf101`, as no script of HMDB51 is released.
    """
    base = videomae_ucf101()
    return base.model_copy(
        update={
            "name": "videomae-hmdb51",
            "differs": (
                *base.differs,
                "no script is released: what the paper leaves out is UCF101's",
            ),
            "clip": ClipConfig(num_frames=16, stride=2),
            "optim": base.optim.model_copy(update={"lr": 5e-4}),
            "num_epochs": 50,
            "views": base.views.model_copy(update={"num_clips": 10}),
        }
    )


def rho_byol() -> FinetuneRecipe:
    """rho-BYOL's fine-tuning on UCF101 and HMDB51 (Feichtenhofer et al., CVPR 2021).

    SGD 0.025 for a batch of 64, times 0.1 at epochs 60, 120 and 180 of 200, no weight decay, dropout
    0.8; 10 clips x 3 crops.
    """
    return FinetuneRecipe(
        name="rho-byol",
        differs=(
            _CHOSEN,
            "frames, stride, crops of training and warm-up: not found, 8 frames at stride 8, crops of "
            "0.08 to 1 at 224 pixels and none here",
        ),
        clip=ClipConfig(num_frames=8, stride=8),
        form="spread",
        augment=crop_and_flip(224),
        dropout=0.8,
        optim=OptimConfig(name="sgd", lr=0.025, momentum=0.9, weight_decay=0.0),
        batch_size=64,
        num_epochs=200,
        warmup_epochs=0,
        schedule="steps",
        drop_epochs=(60, 120, 180),
        views=ViewsConfig(num_clips=10, num_crops=3, short_side_px=256),
    )


def published_recipes() -> dict[str, FinetuneRecipe]:
    """All recipes by name, avrep's own "small" first.

    Not among them: CoCLR's, whose Adam couples the weight decay; RSPNet's on Something-Something,
    whose clips are spread over the whole video; CVRL's, which are not found.
    """
    steps = (50.0, 70.0, 90.0)
    recipes = (
        FinetuneRecipe(),
        vcop(),
        _rspnet("rspnet-ucf101-c3d", lr=0.005, batch_size=20, num_epochs=30),
        _rspnet("rspnet-ucf101-r3d_18", lr=0.1, batch_size=32, num_epochs=30, fps=25),
        _rspnet("rspnet-ucf101-r2plus1d_18", lr=0.1, batch_size=8, num_epochs=30),
        _rspnet(
            "rspnet-ucf101-s3d_g",
            lr=0.005,
            batch_size=4,
            num_epochs=50,
            num_frames=64,
            crop_px=224,
            fps=25,
        ),
        _rspnet("rspnet-hmdb51-c3d", lr=0.005, batch_size=6, num_epochs=100, drop_epochs=steps),
        # As released: the steps lie behind the last epoch.
        _rspnet(
            "rspnet-hmdb51-r3d_18",
            lr=0.01,
            batch_size=64,
            num_epochs=30,
            drop_epochs=steps,
            num_clips=3,
        ),
        _rspnet("rspnet-hmdb51-r2plus1d_18", lr=0.1, batch_size=16, num_epochs=30),
        _rspnet(
            "rspnet-hmdb51-s3d_g",
            lr=0.005,
            batch_size=4,
            num_epochs=50,
            num_frames=64,
            crop_px=224,
        ),
        videomae_ucf101(),
        videomae_hmdb51(),
        rho_byol(),
    )
    return {recipe.name: recipe for recipe in recipes}


def published_recipe(name: str) -> FinetuneRecipe:
    """The recipe of a name.

    Raises:
        ConfigError: there is none, listing those that there are.
    """
    recipes = published_recipes()
    if name not in recipes:
        raise ConfigError(f"no fine-tuning recipe {name!r}; there are {', '.join(recipes)}")
    return recipes[name]
