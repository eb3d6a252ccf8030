"""Train on a file through Lightning, on processes of their own, and write down which patches each step got.

    python -m tests.lightning_run FILE LOG --devices 2 --die-after 7 --checkpoint DIR [--workers 2] [--on-device]

It goes on from the checkpoint of an earlier run, and dies after a number of steps of its own, if asked to. The patches of FILE are of one value each, number / 100, so that a batch tells which they are.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from sar_h5 import SARDataModule


class Recorder(LightningModule):
    """A model that learns nothing and writes down what it gets."""

    def __init__(self, log: str, die_after: int) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self._log, self._steps_left = log, die_after

    def note(self, step: str, images: torch.Tensor) -> None:
        assert images.dtype == torch.float32
        assert images.shape[1:] == (1, 8, 8)
        numbers = [round(100 * float(image.median())) for image in images]
        with Path(f"{self._log}.{self.global_rank}").open("a") as file:
            file.write(json.dumps([step, self.current_epoch, numbers]) + "\n")

    def training_step(self, batch: torch.Tensor, number: int) -> torch.Tensor:  # noqa: ARG002 - Lightning's signature
        if self._steps_left == 0:
            os._exit(0)
        self._steps_left -= 1
        self.note("train", batch)
        return self.layer(batch.mean().view(1, 1)).sum()

    def validation_step(self, batch: torch.Tensor, number: int) -> None:  # noqa: ARG002 - as above
        self.note("val", batch)

    def predict_step(self, batch: dict[str, torch.Tensor], number: int) -> None:  # noqa: ARG002 - as above
        self.note("predict", batch["image"])
        assert [round(100 * float(image.median())) for image in batch["image"]] == batch["index"].tolist()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("log")
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--die-after", type=int, default=-1)
    parser.add_argument("--checkpoint", default="checkpoints")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--on-device", action="store_true")
    parser.add_argument("--predict", action="store_true")
    options = parser.parse_args()
    data = SARDataModule(
        options.file, batch_size=4, num_workers=options.workers, seed=3, scale_on_device=options.on_device
    )
    trainer = Trainer(
        accelerator="cpu",
        devices=options.devices,
        strategy="ddp" if options.devices > 1 else "auto",
        max_epochs=3,
        num_sanity_val_steps=0,
        logger=False,
        callbacks=[ModelCheckpoint(options.checkpoint, every_n_train_steps=1, save_last=True, filename="step")],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    model = Recorder(options.log, options.die_after)
    last = Path(options.checkpoint) / "last.ckpt"
    if options.predict:
        trainer.predict(model, datamodule=data)
    elif last.is_file():
        trainer.fit(model, datamodule=data, ckpt_path=last, weights_only=False)
    else:
        trainer.fit(model, datamodule=data)


if __name__ == "__main__":
    main()
