"""Which evaluators are tried on which recordings, and with which encoders."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from evidence.tasks.archive import write_archive
from evidence.tasks.conversations import write_conversations
from evidence.tasks.keywords import write_keywords
from evidence.tasks.strings import write_lexicon, write_strings
from evidence.tasks.voices import write_trials, write_voices

WriteRoot = Callable[[Path, Path], object]
"""Called with (folder of real media, folder to be made): lays recordings out as a data set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One task on one set of recordings."""

    name: str
    """Of its folders."""
    title: str
    task: str
    encoders: tuple[str, ...]
    """A trained encoder is called by its method, as `avrep evaluate` finds it in this folder."""
    options: tuple[str, ...]
    """Of `avrep evaluate`, behind encoder, task and root."""
    words: str
    """What was laid out, and what the numbers should look like."""
    metrics: tuple[str, ...] = ()
    """That the page tells; all if none is named."""
    write_root: WriteRoot | None = None
    """None: it is a folder of the real media already."""
    media: str = ""
    """Which."""

    @property
    def command(self) -> str:
        """For the last of the encoders."""
        words = ["avrep evaluate", self.encoders[-1], "--task", self.task, "--root DIR"]
        return " ".join([*words, *self.options])

    @property
    def methods(self) -> set[str]:
        """Those of `make evidence` whose runs are measured."""
        return {encoder.removeprefix("untrained:") for encoder in self.encoders} & set(TRAINED)


TRAINED = ("hubert", "rspnet", "cvrl", "segment_avclip")
"""Methods of `make evidence` whose runs are measured, each with its first seed."""
_SOUND = ("logmel", "logmel-no-cmvn", "untrained:hubert", "hubert")
_VIDEO = ("small-pixels", "colour-histogram", "untrained:rspnet", "rspnet", "cvrl")
_TRAINED_VIDEO = ("untrained:rspnet", "rspnet", "cvrl")
_VIDEO_METRICS = ("top1", "top1_change", "mean_class", "r@1", "r@5")
_GMDCSA24 = "action/gmdcsa24_ucfstyle"

_SMALL_CLIPS = {
    "short_side_px": 72,
    "augment.crop_px": 64,
    "views.short_side_px": 64,
    "batch_size": 4,
}


def _settings(**values: object) -> tuple[str, ...]:
    return tuple(word for key, value in values.items() for word in ("--set", f"{key}={value}"))


def _write_digit_sentences(media: Path, root: Path) -> None:
    write_strings(media, root)
    write_lexicon(root / "lexicon.lst")


CHECKS = (
    Check(
        name="keywords",
        title="Keyword spotting",
        task="superb/ks",
        encoders=_SOUND,
        options=(
            "--own-data",
            "--lrs",
            "1e-1,1e-2,1e-3",
            *_settings(num_steps=300, eval_every=50, num_accumulated=1),
        ),
        words="Spoken digits under the names of the ten words; two noises; sentences as what is "
        "unknown. Speakers are the same in training and test, four of digits and one of sentences: with "
        "the two noises intervals are those of seven. Normalised log-mel must stay at chance: the "
        "head's mean over time is all that it sees, and that is 0.",
        write_root=write_keywords,
    ),
    Check(
        name="speakers",
        title="Speaker identification",
        task="superb/sid",
        encoders=_SOUND,
        options=(
            "--own-data",
            *_settings(lr=1e-2, num_steps=300, eval_every=50, num_accumulated=1),
        ),
        words="Four speakers, tested on digits that training never heard. Normalised log-mel must stay "
        "at chance, as above; what separates words from voices best need not be best here.",
        write_root=partial(write_voices, per_speaker=25),
    ),
    Check(
        name="trials",
        title="Speaker verification",
        task="superb/asv",
        encoders=_SOUND,
        options=(
            "--own-data",
            *_settings(lr=1e-3, batch_size=4, num_steps=150, eval_every=50, num_accumulated=1),
        ),
        words="The 600 trials of single digits of four speakers; x-vectors trained on sentences "
        "of four others, chosen on those of two more. So little is learned that no encoder can be good; "
        "chance is 50.",
        write_root=write_trials,
    ),
    Check(
        name="strings",
        title="Speech recognition",
        task="superb/asr",
        encoders=("logmel", "untrained:hubert", "hubert"),
        options=(
            "--own-data",
            *_settings(
                **{"decoder.lexicon": "data/strings/lexicon.lst"},
                lr=1e-3,
                batch_size=16,
                num_steps=200,
                eval_every=100,
            ),
        ),
        words="Strings of three to five digits, trained with CTC on letters; greedy, and with a lexicon "
        "of the ten words. Whoever says nothing has 100.",
        write_root=_write_digit_sentences,
    ),
    Check(
        name="conversations",
        title="Speaker diarization",
        task="superb/sd",
        encoders=_SOUND,
        options=(
            "--own-data",
            *_settings(lr=1e-3, num_accumulated=1, num_steps=200, eval_every=50),
        ),
        words="Two of the four speakers say digits, sometimes at once; words of the test were not in "
        "training. Whoever says nothing has 100.",
        write_root=partial(write_conversations, sizes={"train": 96, "dev": 12, "test": 24}),
    ),
    Check(
        name="archive",
        title="Query by example",
        task="superb/qbe",
        encoders=_SOUND,
        options=("--own-data",),
        words="Digits to be found in strings of three by another recording; nothing is trained. A "
        "threshold that finds nothing is worth 0.",
        write_root=partial(write_archive, num_documents=120, num_queries=40),
    ),
    Check(
        name="actions",
        title="Action recognition on frozen features",
        task="ucf101",
        encoders=_VIDEO,
        options=(
            "--groups",
            "corpus",
            *_settings(
                **{
                    "protocols.knn.k": 3,
                    "few_shot.num_labels": "[1,5]",
                    "robustness.disturbances": "[half_rate,shuffled,reversed,recompressed]",
                }
            ),
        ),
        words="Falls, sitting down, standing up and walking, by three people, each left out in turn. "
        "Three neighbours vote, of 15 to 27 train videos. 33 videos tell very little: the intervals say "
        "so. The encoders were trained on moving shapes.",
        metrics=_VIDEO_METRICS,
        media=_GMDCSA24,
    ),
    Check(
        name="attentive",
        title="Action recognition by an attentive probe",
        task="ucf101",
        encoders=_TRAINED_VIDEO,
        options=(
            "--groups",
            "corpus",
            "--protocol",
            "attentive",
            *_settings(**_SMALL_CLIPS, num_epochs=100, store_bytes=1_000_000_000),
        ),
        words="The same videos. One person tests and another chooses, so that six or nine videos are left "
        "to train on. A hundred epochs of their stored tokens are enough to tell these apart; what so few "
        "say of the third person is little.",
        metrics=_VIDEO_METRICS,
        media=_GMDCSA24,
    ),
    Check(
        name="finetuned",
        title="Action recognition by fine-tuning",
        task="ucf101",
        encoders=_TRAINED_VIDEO,
        options=(
            "--groups",
            "corpus",
            "--protocol",
            "finetune",
            *_settings(**_SMALL_CLIPS, num_epochs=15),
        ),
        words="The same videos; a dozen to train on is next to nothing.",
        metrics=_VIDEO_METRICS,
        media=_GMDCSA24,
    ),
    Check(
        name="talking_heads",
        title="Synchrony",
        task="sync",
        encoders=("untrained:segment_avclip", "segment_avclip"),
        options=_settings(clip_s=1.92, max_offset_s=0.48, num_offsets=13),
        words="Seven talking heads of 3 s. The run was trained on synthetic shapes and never saw a face "
        "or heard a voice: 7 clips at chance of 1 in 13 show that it runs, and little else. The count by "
        "envelopes is of how loud the sound is when pictures change.",
        media="av/grid",
    ),
)
