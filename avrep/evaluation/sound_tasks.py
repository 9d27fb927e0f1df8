"""Tasks of sound by name."""

from typing import Any

from avrep.errors import ConfigError
from avrep.evaluation.sound.esc50 import Esc50
from avrep.evaluation.sound.sound_folder import SoundFolder
from avrep.evaluation.sound.sound_task import SoundTask
from avrep.evaluation.superb.asr import SpeechRecognition
from avrep.evaluation.superb.asv import SpeakerVerification
from avrep.evaluation.superb.er import EmotionRecognition
from avrep.evaluation.superb.ic import IntentClassification
from avrep.evaluation.superb.ks import KeywordSpotting
from avrep.evaluation.superb.pr import PhoneRecognition
from avrep.evaluation.superb.sd import SpeakerDiarization
from avrep.evaluation.superb.sf import SlotFilling
from avrep.evaluation.superb.sid import SpeakerIdentification

SOUND_TASKS: dict[str, type[SoundTask[Any, Any]]] = {
    task.name: task
    for task in (
        KeywordSpotting,
        SpeakerIdentification,
        IntentClassification,
        EmotionRecognition,
        PhoneRecognition,
        SpeechRecognition,
        SlotFilling,
        SpeakerVerification,
        SpeakerDiarization,
        Esc50,
        SoundFolder,
    )
}


SELECT_ON_TEST = (SpeakerVerification.name, SpeakerDiarization.name)
"""Where the public toolkit chooses on the test, which `--select-on-test` does too."""


def sound_task(
    name: str, *, own_data: bool = False, select_on_test: bool = False
) -> SoundTask[Any, Any]:
    """A task by its name.

    Args:
        name: "superb/ks".
        own_data: whether it is another data set in the official one's layout.
        select_on_test: choose on the test, as the public toolkit does in verification and diarization.

    Raises:
        ConfigError: there is no such task, or it never chooses on the test.
    """
    if name not in SOUND_TASKS:
        raise ConfigError(f"no task {name!r} of sound; there are {', '.join(SOUND_TASKS)}")
    if not select_on_test:
        return SOUND_TASKS[name](own_data=own_data)
    if name == SpeakerVerification.name:
        return SpeakerVerification(own_data=own_data, select_on="test")
    if name == SpeakerDiarization.name:
        return SpeakerDiarization(own_data=own_data, select_on="test")
    raise ConfigError(
        f"{name} is never chosen on its test; that is of {' and '.join(SELECT_ON_TEST)}, where the "
        "public toolkit does so"
    )
