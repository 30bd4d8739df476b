"""The final checkpoint of a training that was killed before it could write it."""

import os

from detectron2.engine import HookBase
from fvcore.common.checkpoint import Checkpointer


class FinalCheckpoint(HookBase):
    """Writes ``model_final.pth`` if a resumed training has no iteration left.

    Detectron2 writes this file after the last iteration. A training that is killed between the
    periodic checkpoint of that iteration and the final checkpoint has no iteration left when it is
    resumed.

    Args:
        checkpointer: checkpointer of the training.
    """

    def __init__(self, checkpointer: Checkpointer):
        self.checkpointer = checkpointer

    def before_train(self) -> None:
        trainer = self.trainer
        if trainer.start_iter < trainer.max_iter or not self.checkpointer.has_checkpoint():
            return
        if os.path.basename(self.checkpointer.get_checkpoint_file()) != "model_final.pth":
            trainer.iter = trainer.start_iter - 1  # the iteration of the weights
            self.checkpointer.save("model_final", iteration=trainer.iter)
            trainer.iter = trainer.start_iter
