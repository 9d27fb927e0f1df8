"""Tokens of each train video on disk, made once: float16, in parts that are whole or absent.

FOLDER/part-NNNNN.safetensors
    rows       int64[b], catalogue rows
    tokens     float16[b clips n d]
    header     `digest`: of the encoder, the clips and the crops
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from avrep import rng
from avrep.augment.eval_crops import crop_views
from avrep.errors import ConfigError
from avrep.media.put_in_place import put_in_place
from avrep.models.weights_digest import weights_digest
from avrep.pipeline.plan import Plan, Sweep, addresses
from avrep.pipeline.stream import OpenStream
from avrep.recognition.attentive_recipe import AttentiveRecipe
from avrep.recognition.data import TaskVideos
from avrep.recognition.tokens import Frozen, TokenBatch, rows_digest
from avrep.recognition.views import crops_of, even_clips
from avrep.transfer import to_device
from avrep.types import Address, Batch, RowNumbers


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenStore:
    """Parts in a folder, and which rows they hold."""

    places: dict[int, tuple[Path, int]]
    """Row -> its part, and its place there."""

    @property
    def rows(self) -> RowNumbers:
        return np.array(list(self.places), np.int64)


def make_token_store(
    folder: Path,
    frozen: Frozen,
    data: TaskVideos,
    recipe: AttentiveRecipe,
    rows: RowNumbers,
    *,
    open_stream: OpenStream,
    on_part: Callable[[int], None],
) -> TokenStore:
    """Store the tokens of evenly spaced clips under a central crop; parts that are there stay.

    Args:
        folder: of the parts; other files in it are left alone.
        frozen: the encoder.
        data: where the videos are.
        recipe: which clips, and how many bytes at most.
        rows: of the videos, in the order that they are stored.
        open_stream: the plain stream, or Ray's.
        on_part: told how many parts are done.

    Raises:
        ConfigError: they would need more bytes; or not one video could be decoded.
    """
    views = recipe.views.model_copy(update={"num_crops": 1})
    sweep = Sweep(seed=0, rows=rows, batch_size=views.batch_size)
    digest = _digest(frozen, data, recipe, rows)
    paths = [folder / f"part-{number:05d}.safetensors" for number in range(sweep.num_steps)]
    folder.mkdir(parents=True, exist_ok=True)
    first = next((n for n, path in enumerate(paths) if not _is_whole(path, digest)), len(paths))
    on_part(first)
    crops = crops_of(views, recipe.augment)
    spec = even_clips(recipe.clip, views.num_clips, crops.short_side_px)
    with open_stream(data.source(sweep, spec), range(first, sweep.num_steps)) as stream:
        for batch in stream:
            tokens = torch.stack(list(_clips(batch, frozen, crops)), dim=1) if batch.views else None
            _write(paths[batch.step], batch, tokens, digest, recipe.store_bytes // len(rows))
            on_part(batch.step + 1)
    places = {row: (path, place) for path in paths for place, row in enumerate(_stored_rows(path))}
    if not places:
        raise ConfigError(f"none of {len(rows)} train videos could be decoded")
    return TokenStore(places=places)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTokens:
    """The same clips of each video in every epoch: all of them at once, or one drawn by its address."""

    store: TokenStore
    recipe: AttentiveRecipe
    plan: Plan
    device: torch.device

    @contextmanager
    def open(self, steps: range) -> Iterator[Iterator[TokenBatch]]:
        """The batches of some steps."""
        with ExitStack() as stack:
            files: dict[Path, Any] = {}

            def read(address: Address) -> Tensor:
                path, place = self.store.places[address.item]
                if path not in files:
                    files[path] = stack.enter_context(safe_open(path, framework="pt"))
                stored = files[path].get_slice("tokens")
                if self.recipe.attend_across_clips:
                    return stored[place].flatten(0, 1)
                draws = rng.at(self.plan.seed, rng.Stage.SAMPLE, address)
                return stored[place, int(draws.integers(stored.get_shape()[1]))]

            yield (self._batch(step, addresses(self.plan, step), read) for step in steps)

    def _batch(
        self, step: int, asked: tuple[Address, ...], read: Callable[[Address], Tensor]
    ) -> TokenBatch:
        tokens = torch.stack([read(address) for address in asked])
        return TokenBatch(
            step=step,
            tokens=tokens.to(self.device).float(),
            rows=tuple(address.item for address in asked),
        )


def _clips(batch: Batch, frozen: Frozen, crops: Any) -> Iterator[Tensor]:
    for view in batch.views:
        if view.video is None:
            raise ValueError("an item without video has no tokens")
        clips = crop_views(to_device(view.video, frozen.device), view.size_px, crops)
        yield frozen.tokens(clips[:, 0]).half().cpu()


def _write(
    path: Path, batch: Batch, tokens: Tensor | None, digest: str, most_bytes_a_video: int
) -> None:
    stored = torch.zeros(0, dtype=torch.half) if tokens is None else tokens.contiguous()
    if tokens is not None and tokens[0].nbytes > most_bytes_a_video:
        raise ConfigError(
            f"the tokens of a train video take {tokens[0].nbytes} bytes, and store_bytes leaves "
            f"{most_bytes_a_video} for each; raise store_bytes, or set it to 0 to store none"
        )
    rows = torch.tensor([address.item for address in batch.addresses], dtype=torch.int64)
    partial = path.with_name(path.name + ".partial")
    save_file({"rows": rows, "tokens": stored}, partial, metadata={"digest": digest})
    put_in_place(partial, path)


def _is_whole(path: Path, digest: str) -> bool:
    if not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("digest") == digest
    except SafetensorError:
        return False


def _stored_rows(path: Path) -> list[int]:
    with safe_open(path, framework="pt") as file:
        return file.get_tensor("rows").tolist()


def _digest(frozen: Frozen, data: TaskVideos, recipe: AttentiveRecipe, rows: RowNumbers) -> str:
    digest = hashlib.sha256(weights_digest(frozen.encoder).encode())
    for part in (recipe.clip, recipe.views, recipe.augment):
        digest.update(part.model_dump_json().encode())
    digest.update(frozen.precision.encode())
    digest.update(data.catalog.digest.encode() + rows_digest(rows))
    return digest.hexdigest()
