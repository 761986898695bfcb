"""TTS output and the emoji that it was asked for -> how many are heard, with intervals.

* `asked`, `texts`: what the manifest asks of each system, checked before any audio is read; * `hearing`: audio ->
probabilities; * `pairing`: two systems on the same texts; * `result`: what comes out; * `outputs`: the files;
* `scoring`: all of it in order.
"""

from emoji_lightning.scoring.result import Score
from emoji_lightning.scoring.scoring import score

__all__ = ["Score", "score"]
