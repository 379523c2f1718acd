"""An engine whose prompts make pictures darker or brighter, or move what they show."""

import numpy as np

from realmaster_live.prompts import Fade, with_prompt

DARK = {"as simulated": 1.0, "night": 0.4, "fog": 1.3}


def displaced(frames):
    """What labels say is elsewhere now."""
    return np.roll(frames, 40, axis=2)


class Dimmer:
    """Scales brightness by its prompt, cross-faded by chunks."""

    def __init__(self, spec, wrong=False):
        self.spec, self.wrong = spec, wrong
        self.prompts = dict.fromkeys(DARK)
        self.fade, self.before = Fade("as simulated"), "as simulated"

    def reset(self):
        """The prompt stays."""

    def set_prompt(self, prompt, fade_chunks=0):
        self.before = self.fade.prompt
        self.fade.start(prompt, fade_chunks)

    def realize(self, chunk):
        self.fade.step()
        share = self.fade.weight
        gain = DARK[self.fade.prompt] * share + DARK[self.before] * (1 - share)
        frames = (chunk.frames * gain).clip(0, 255).astype(np.uint8)
        if self.wrong and share == 1 and self.fade.prompt != "as simulated":
            frames = displaced(frames)
        return with_prompt(chunk.with_frames(frames), self.fade)

    def close(self):
        pass
