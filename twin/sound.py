"""Makes real, short sounds: a WAV file with one note for each word of a text."""

import array
import io
import math
import wave
from dataclasses import dataclass

RATE = 16_000
NOTE_SECONDS = 0.18
MAX_NOTES = 40
SCALE = (0, 2, 4, 7, 9, 12)


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound that is made from a text."""

    text: str

    @property
    def content_type(self) -> str:
        """The media type of the bytes that `render` returns."""
        return "audio/wav"

    @property
    def seconds(self) -> float:
        """The duration."""
        return len(self._notes()) * NOTE_SECONDS

    def render(self) -> bytes:
        """Encode as 16-bit mono WAV."""
        samples = array.array("h")
        count = int(RATE * NOTE_SECONDS)
        for note in self._notes():
            hertz = 262 * 2 ** (note / 12)
            samples.extend(
                round(9000 * math.sin(math.tau * hertz * i / RATE) * math.sin(math.pi * i / count))
                for i in range(count)
            )
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(samples.tobytes())
        return buffer.getvalue()

    def _notes(self) -> list[int]:
        words = self.text.split()[:MAX_NOTES] or [""]
        return [SCALE[len(word) % len(SCALE)] for word in words]
