"""The last checkpoint of a training that was killed before it was written."""

import os

from detectron2.engine import HookBase
from fvcore.common.checkpoint import Checkpointer


class FinalCheckpoint(HookBase):
    """Writes ``model_final.pth`` where a resumed training has nothing else left to do.

    Detectron2 writes it after the last iteration. A process that is killed between a periodic
    checkpoint of that iteration and the final one has no iteration left when it is resumed.

    Args:
        checkpointer: the checkpointer of the training.
    """

    def __init__(self, checkpointer: Checkpointer):
        self.checkpointer = checkpointer

    def before_train(self) -> None:
        trainer = self.trainer
        if trainer.start_iter < trainer.max_iter or not self.checkpointer.has_checkpoint():
            return
        if os.path.basename(self.checkpointer.get_checkpoint_file()) != "model_final.pth":
            trainer.iter = trainer.start_iter - 1  # the iteration that the weights are of
            self.checkpointer.save("model_final", iteration=trainer.iter)
            trainer.iter = trainer.start_iter
