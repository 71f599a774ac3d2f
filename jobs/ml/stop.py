"""What others ask of a running fine-tune, by signal."""

from __future__ import annotations

import signal


class Stop:
    """SIGTERM: save a checkpoint and go. SIGUSR1: finish now, with the best weights so far."""

    def __init__(self) -> None:
        self.pause = False
        self.finish = False

    def listen(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "pause", True))
        signal.signal(signal.SIGINT, lambda *_: setattr(self, "pause", True))
        signal.signal(signal.SIGUSR1, lambda *_: setattr(self, "finish", True))
