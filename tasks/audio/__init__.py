"""Speech: from a text, and back to one."""

from tasks.audio.speaking import Speak, Spoken, speak
from tasks.audio.transcription import Transcribe, Transcribed, transcribe

__all__ = ["Speak", "Spoken", "Transcribe", "Transcribed", "speak", "transcribe"]
