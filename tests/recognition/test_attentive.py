"""Attentive probes: tokens that only attention can read, restarts, streams and stores of tokens."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from avrep.augment.erase import EraseConfig
from avrep.augment.eval_crops import crop_views
from avrep.augment.rand_augment import RandAugmentConfig
from avrep.errors import ConfigError
from avrep.models.features import Encoder
from avrep.models.tubelet_vit import TubeletVitConfig, build_tubelet_vit
from avrep.models.weights_digest import weights_digest
from avrep.pipeline.plan import Plan, addresses
from avrep.pipeline.stream import plain_stream
from avrep.recognition.attentive import attentive_probe, best_head, train_heads
from avrep.recognition.attentive_recipe import (
    AttentiveRecipe,
    HeadRates,
    attentive_recipe,
    attentive_recipes,
)
from avrep.recognition.data import LabelledRows, TaskVideos
from avrep.recognition.judging import TOP1
from avrep.recognition.probe_heads import ProbeHeads, build_head_optimizer, step_heads
from avrep.recognition.recipe import crop_and_flip
from avrep.recognition.row_scores import RowScores
from avrep.recognition.token_store import StoredTokens, make_token_store
from avrep.recognition.tokens import Frozen, StreamedTokens, TokenBatch
from avrep.recognition.training_folder import TrainingFolder
from avrep.recognition.views import ViewsConfig, crops_of, even_clips
from avrep.sampling.clips import ClipConfig

from .watched import Watched

CPU = torch.device("cpu")
NUM_ROWS = 256
WIDTH = 16


class Stops(Exception):
    pass


@cache
def hand_made() -> Tensor:
    """float32[rows 6 16]: a marked token says +1 or -1, the others say the opposite, so that the mean
    of what is said is 0 in every video.
    """
    generator = torch.Generator().manual_seed(0)
    num = NUM_ROWS + 64
    tokens = 0.3 * torch.randn(num, 6, WIDTH, generator=generator)
    marked = torch.randint(6, (num,), generator=generator)
    said = torch.where(torch.arange(num) % 2 == 1, 1.0, -1.0)
    tokens[:, :, 0] = -said[:, None] / 5
    tokens[:, :, 1] = 0.0
    tokens[torch.arange(num), marked, 0] = said
    tokens[torch.arange(num), marked, 1] = 2.0
    return tokens


@dataclass
class HandMade:
    """A feed of them; it may stop early."""

    plan: Plan
    stop_at: int | None = None

    @contextmanager
    def open(self, steps: range) -> Iterator[Iterator[TokenBatch]]:
        yield (self._batch(step) for step in steps)

    def _batch(self, step: int) -> TokenBatch:
        if step == self.stop_at:
            raise Stops
        rows = [address.item for address in addresses(self.plan, step)]
        return TokenBatch(step=step, tokens=hand_made()[rows], rows=tuple(rows))


ROWS = LabelledRows(
    class_names=("minus", "plus"),
    fit=np.arange(NUM_ROWS),
    valid=np.arange(NUM_ROWS, NUM_ROWS + 64),
    num_valid_groups=64,
    test=np.arange(0),
    label_of={row: row % 2 for row in range(NUM_ROWS + 64)},
)


def train_on_hand_made(
    folder: Path, recipe: AttentiveRecipe, stop_at: int | None = None
) -> ProbeHeads:
    heads = ProbeHeads(recipe, WIDTH, 2, seed=0)
    plan = Plan(seed=0, rows=ROWS.fit, global_batch=64)
    train_heads(
        heads,
        HandMade(plan, stop_at),
        ROWS,
        recipe,
        TrainingFolder(path=folder, decides={"seed": 0}, data_digest="d"),
        device=CPU,
        checkpoint_every_steps=3,
    )
    return heads.eval()


def test_what_only_attention_can_read_is_learnt_and_the_best_rates_are_chosen(
    tmp_path: Path,
) -> None:
    rates = (
        HeadRates(lr=1e-9, weight_decay=0.0),
        HeadRates(lr=1e10, weight_decay=0.0),
        HeadRates(lr=1e-2, weight_decay=0.01),
    )
    recipe = AttentiveRecipe(rates=rates, num_epochs=10, num_heads=1)
    tokens = hand_made()[ROWS.valid]
    # No linear layer on their mean can tell: what is said is 0 on the mean, and the marks are alike.
    torch.testing.assert_close(tokens[:, :, 0].mean(dim=1), torch.zeros(64))
    heads = train_on_hand_made(tmp_path, recipe)
    with torch.no_grad():
        said = heads.probabilities(tokens, "fp32").numpy()
    assert np.isfinite(said).all()
    chosen, found = best_head(RowScores(rows=ROWS.valid, scores=said), ROWS)
    assert chosen == 2
    assert found[TOP1] > 0.95


def test_rates_at_half_time_and_at_the_end() -> None:
    rates = (
        HeadRates(lr=1e-3, weight_decay=0.01, final_weight_decay=1e-6),
        HeadRates(lr=5e-3, weight_decay=0.4),
    )
    heads = ProbeHeads(AttentiveRecipe(rates=rates, num_heads=1), WIDTH, 2, seed=0)
    optimizer = build_head_optimizer(heads, rates)
    for step, lrs, decays in (
        (0, (1e-3, 5e-3), (0.01, 0.4)),
        (2, (5e-4, 2.5e-3), (0.0050005, 0.4)),
        (4, (0.0, 0.0), (1e-6, 0.4)),
    ):
        step_heads(
            heads,
            optimizer,
            hand_made()[:4],
            torch.tensor([0, 1, 0, 1]),
            step=step,
            total_steps=4,
            max_grad_norm=1.0,
            precision="fp32",
        )
        told = [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
        # Of each head first what is decayed, then what has one dimension.
        for (lr, decay), matrices, vectors in zip(
            zip(lrs, decays, strict=True), told[::2], told[1::2], strict=True
        ):
            assert matrices == pytest.approx((lr, decay))
            assert vectors == pytest.approx((lr, 0.0))


def test_probes_killed_and_resumed_are_as_undisturbed(tmp_path: Path) -> None:
    recipe = AttentiveRecipe(num_epochs=2, num_heads=1)
    whole = train_on_hand_made(tmp_path / "whole", recipe)
    for stop_at in (2, 4, 6):
        with pytest.raises(Stops):
            train_on_hand_made(tmp_path / "parts", recipe, stop_at)
    resumed = train_on_hand_made(tmp_path / "parts", recipe)
    assert weights_digest(resumed) == weights_digest(whole)


RECIPE = AttentiveRecipe(
    clip=ClipConfig(num_frames=4, stride=2),
    short_side_px=24,
    augment=crop_and_flip(16, flip=False),
    views=ViewsConfig(num_clips=2, num_crops=3, short_side_px=16, batch_size=4),
    rates=(HeadRates(lr=1e-2, weight_decay=0.01), HeadRates(lr=1e-3, weight_decay=0.1)),
    batch_size=4,
    num_epochs=1,
    validation_fraction=0.25,
)


def make_encoder() -> Encoder:
    config = TubeletVitConfig(size="micro", patch_px=8, num_frames=4, crop_px=16)
    return build_tubelet_vit(config, seed=0)


def frozen() -> Frozen:
    return Frozen(encoder=make_encoder().eval(), device=CPU, precision="fp32")


def test_a_probe_asks_the_test_last_and_leaves_the_encoder_as_it_is(
    synth_action: TaskVideos, watched: Watched, tmp_path: Path
) -> None:
    encoder = make_encoder()
    predictions = attentive_probe(encoder, synth_action, RECIPE, tmp_path, open_stream=watched)
    assert weights_digest(encoder) == weights_digest(make_encoder())
    train, test = (
        frozenset(rows.tolist()) for rows in (synth_action.task.train, synth_action.task.test)
    )
    (is_training, fit, _), (_, valid, _), last = watched.opened
    assert is_training
    assert fit | valid == train
    assert not fit & valid
    assert last == (False, test, range(2))
    np.testing.assert_allclose(predictions.probabilities.sum(axis=1), 1, rtol=1e-5)
    assert len(predictions.videos.keys) == 8
    assert predictions.num_valid == len(valid) == 4
    assert predictions.settings["lr"] in (1e-2, 1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("store_bytes", [0, 1 << 20])
def test_a_probe_killed_at_every_batch_is_as_undisturbed(
    synth_action: TaskVideos, tmp_path: Path, store_bytes: int
) -> None:
    recipe = RECIPE.model_copy(update={"store_bytes": store_bytes})
    whole = attentive_probe(make_encoder(), synth_action, recipe, tmp_path / "a")
    # Of 12 train videos in batches of 4, of as many stored, of 4 held out, of 8 asked.
    total = 3 + (3 if store_bytes else 0) + 1 + 2
    for at in range(1, total):

        def stop(done: int, of: int, at: int = at) -> None:
            assert of == total
            if done == at:
                raise Stops

        with pytest.raises(Stops):
            attentive_probe(
                make_encoder(),
                synth_action,
                recipe,
                tmp_path / "b",
                checkpoint_every_steps=1,
                progress=stop,
            )
    again = attentive_probe(make_encoder(), synth_action, recipe, tmp_path / "b")
    np.testing.assert_array_equal(again.probabilities, whole.probabilities)
    assert again.settings == whole.settings


def test_streamed_clips_are_drawn_anew_and_the_same_again(synth_action: TaskVideos) -> None:
    plan = Plan(seed=0, rows=synth_action.task.train, global_batch=4)
    feed = StreamedTokens(
        frozen=frozen(), data=synth_action, recipe=RECIPE, plan=plan, open_stream=plain_stream
    )

    def tokens(step: int) -> Tensor:
        with feed.open(range(step, step + 1)) as batches:
            (batch,) = batches
        assert batch.rows == tuple(address.item for address in addresses(plan, step))
        return batch.tokens

    # Two clips of 2 x 2 x 2 tokens each.
    assert tokens(0).shape == (4, 16, 96)
    assert torch.equal(tokens(5), tokens(5))
    assert not torch.equal(tokens(0)[:, :8], tokens(0)[:, 8:])


@pytest.mark.parametrize("across", [True, False])
def test_stored_tokens_are_the_encoders(
    synth_action: TaskVideos, tmp_path: Path, across: bool
) -> None:
    rows = synth_action.task.train
    recipe = RECIPE.model_copy(update={"store_bytes": 1 << 20, "attend_across_clips": across})
    parts: list[int] = []
    store = make_token_store(
        tmp_path,
        frozen(),
        synth_action,
        recipe,
        rows,
        open_stream=plain_stream,
        on_part=parts.append,
    )
    assert parts == [0, 1, 2, 3, 4]
    assert store.rows.tolist() == rows.tolist()
    plan = Plan(seed=0, rows=rows, global_batch=4)
    feed = StoredTokens(store=store, recipe=recipe, plan=plan, device=CPU)
    with feed.open(range(2)) as batches:
        batch = next(batches)
    truth = encoded(synth_action, recipe, batch.rows)
    if across:
        torch.testing.assert_close(batch.tokens, truth.flatten(1, 2), atol=2e-3, rtol=2e-3)
    else:
        distance = (batch.tokens[:, None] - truth).abs().amax(dim=(2, 3))
        assert (distance.amin(dim=1) < 5e-3).all()
        assert batch.tokens.shape == (4, 8, 96)


def encoded(data: TaskVideos, recipe: AttentiveRecipe, rows: tuple[int, ...]) -> Tensor:
    """float32[b clips n d], by hand."""
    from avrep.pipeline.plan import Sweep

    crops = crops_of(recipe.views.model_copy(update={"num_crops": 1}), recipe.augment)
    sweep = Sweep(seed=0, rows=np.array(rows), batch_size=len(rows))
    spec = even_clips(recipe.clip, recipe.views.num_clips, crops.short_side_px)
    with plain_stream(data.source(sweep, spec), range(1)) as stream:
        (batch,) = stream
    encoder, found = make_encoder().eval(), []
    for view in batch.views:
        assert view.video is not None
        clips = crop_views(torch.from_numpy(view.video), view.size_px, crops)
        with torch.no_grad():
            found.append(encoder(clips[:, 0]).tokens)
    return torch.stack(found, dim=1)


def test_tokens_that_need_more_than_the_limit_are_refused(
    synth_action: TaskVideos, tmp_path: Path
) -> None:
    # 16 tokens of 96 numbers of 2 bytes, for each of 12 videos.
    fits = 12 * 16 * 96 * 2
    recipe = RECIPE.model_copy(update={"store_bytes": fits - 1})
    with pytest.raises(ConfigError, match="take 3072 bytes, and store_bytes leaves 3071 for each"):
        attentive_probe(make_encoder(), synth_action, recipe, tmp_path)


def test_v_jepas_recipes() -> None:
    recipes = attentive_recipes()
    assert list(recipes) == ["vjepa-2x3", "vjepa-8x3", "vjepa-2x3-grid", "vjepa-8x3-grid"]
    for recipe in recipes.values():
        assert AttentiveRecipe.model_validate(recipe.model_dump()) == recipe
        assert recipe.augment.flip_probability == 0
        # rand-m7-n4-mstd0.5-inc1 and reprob 0.25.
        assert recipe.augment.rand_augment == RandAugmentConfig(
            num_operations=4, magnitude=7, magnitude_std=0.5, probability=0.5
        )
        assert recipe.augment.erase == EraseConfig(probability=0.25, area=(0.02, 1 / 3))
        assert recipe.rates[0] == HeadRates(lr=1e-3, weight_decay=0.01, final_weight_decay=1e-6)
    assert recipes["vjepa-8x3"].clips_in_training == 8
    assert len(set(recipes["vjepa-8x3-grid"].rates)) == len(recipes["vjepa-8x3-grid"].rates) == 21
    assert AttentiveRecipe(attend_across_clips=False).clips_in_training == 1
    with pytest.raises(ConfigError, match="no attentive probe 'vjepa'; there are vjepa-2x3, vjepa"):
        attentive_recipe("vjepa")
