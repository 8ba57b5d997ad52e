"""Lightning, Hugging Face's Trainer, Accelerate: layers, and DO-Conv at the optimizer.

Each resumes from its own checkpoint as if it had not stopped, to the bit.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import accelerate
import lightning
import pytest
import schedulefree
import torch
import transformers
from torch import Tensor, nn

from doconv_torch import OptimizerDOConv, convert, fold
from tests.torch_adapter.helpers import images
from tests.torch_adapter.test_at_optimizer import assert_same, torch_sgd

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs; ours are asked for below

WAYS = pytest.mark.parametrize("way", ["layers", "at the optimizer"])


class Classifier(nn.Module):
    """As all three call it."""

    def __init__(self, way: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3, groups=4))
        if way == "layers":
            convert(self.body, inplace=True)

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.body(x).mean((2, 3))
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def data() -> list[dict[str, Any]]:
    return [{"x": images(1, seed=i)[0], "labels": i % 4} for i in range(16)]


def optimizer_of(model: Classifier, way: str) -> torch.optim.Optimizer:
    optimizer = torch_sgd(model.parameters(), 0.1, momentum=0.9)
    if way != "layers":
        OptimizerDOConv(model, optimizer)
    return optimizer


def check(whole: Classifier, resumed: Classifier, way: str) -> None:
    """Resumed is not stopped, both ways are one, and its fold computes the same."""
    assert_same(resumed, whole, 0)
    if way == "layers":
        assert whole.body[0].D.any()
        x, labels = images(), torch.tensor([0, 1])
        torch.testing.assert_close(fold(whole)(x, labels), whole(x, labels))


class Module(lightning.LightningModule):
    """No callback: converting is one line of the constructor, folding one after fit()."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.net = way, Classifier(way)

    def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
        return self.net(**batch)["loss"]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return optimizer_of(self.net, self.way)


@pytest.fixture(scope="module")
def by_lightning() -> dict[str, Classifier]:
    """What each way trained, to be compared."""
    return {}


@pytest.mark.integration("Lightning", "convert", "train", "save", "resume", "fold")
@WAYS
def test_lightning(way: str, tmp_path: Path, by_lightning: dict[str, Classifier]) -> None:
    def fit(epochs: int, checkpoint: Path | None = None) -> tuple[Any, Classifier]:
        trainer = lightning.Trainer(
            max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False,
            enable_model_summary=False, enable_checkpointing=False, default_root_dir=tmp_path,
        )  # fmt: skip
        module = Module(way)
        loader = torch.utils.data.DataLoader(data(), batch_size=4)
        trainer.fit(module, loader, ckpt_path=checkpoint, weights_only=False)
        return trainer, module.net

    whole = fit(3)[1]
    fit(2)[0].save_checkpoint(tmp_path / "two.ckpt")
    check(whole, fit(3, tmp_path / "two.ckpt")[1], way)
    by_lightning[way] = whole
    if len(by_lightning) == 2:
        assert_same(by_lightning["at the optimizer"], fold(by_lightning["layers"]), 1e-5)


@pytest.mark.integration("Hugging Face's Trainer", "convert", "train", "save", "resume", "fold")
@WAYS
def test_the_trainer_of_transformers(way: str, tmp_path: Path) -> None:
    class Trainer(transformers.Trainer):
        def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
            optimizer = super().create_optimizer(*args, **kwargs)
            if way != "layers":
                OptimizerDOConv(self.model, optimizer)
            return optimizer

    def fit(epochs: int, checkpoint: Path | None = None) -> Classifier:
        model = Classifier(way)
        arguments = transformers.TrainingArguments(
            tmp_path, num_train_epochs=epochs, per_device_train_batch_size=4, learning_rate=0.01,
            lr_scheduler_type="constant", save_strategy="epoch", report_to=[], use_cpu=True,
            disable_tqdm=True, logging_strategy="no",
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="OptimizerDOConv")
            trainer = Trainer(model=model, args=arguments, train_dataset=data())
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        return model

    whole = fit(2)
    fit(1)
    check(whole, fit(2, tmp_path / "checkpoint-4"), way)


@pytest.mark.integration("Accelerate", "convert", "train", "save", "resume", "fold")
@WAYS
def test_accelerate(way: str, tmp_path: Path) -> None:
    """The OptimizerDOConv of the inner optimizer, before it is wrapped."""

    def fit(epochs: range, save: Path | None = None, load: Path | None = None) -> Classifier:
        accelerator, model = accelerate.Accelerator(cpu=True), Classifier(way)
        loader = torch.utils.data.DataLoader(data(), batch_size=4)
        wrapped, optimizer, batches = accelerator.prepare(model, optimizer_of(model, way), loader)
        if load:
            accelerator.load_state(load)
        for _ in epochs:
            for batch in batches:
                optimizer.zero_grad()
                accelerator.backward(wrapped(**batch)["loss"])
                optimizer.step()
        if save:
            accelerator.save_state(save)
        return model

    whole = fit(range(3))
    fit(range(2), save=tmp_path / "two")
    check(whole, fit(range(2, 3), load=tmp_path / "two"), way)


@pytest.mark.integration("Accelerate", convert="OptimizerDOConv of the prepared one refused")
def test_the_prepared_optimizer_of_accelerate_is_refused() -> None:
    model = Classifier("at the optimizer")
    optimizer = accelerate.Accelerator(cpu=True).prepare(torch_sgd(model.parameters(), 0.1))
    with pytest.raises(ValueError, match="the inner one before it is wrapped"):
        OptimizerDOConv(model, optimizer)


@pytest.mark.integration(
    "schedulefree", "train", "fold", convert="layers; at the optimizer refused"
)
def test_schedulefree_trains_layers() -> None:
    model = Classifier("at the optimizer")
    optimizer = schedulefree.AdamWScheduleFree(model.parameters(), 0.01)
    with pytest.raises(ValueError, match="between its steps"):
        OptimizerDOConv(model, optimizer)
    model = Classifier("layers")
    optimizer = schedulefree.AdamWScheduleFree(model.parameters(), 0.01)
    optimizer.train()
    x, labels = images(4), torch.arange(4)
    for _ in range(3):
        optimizer.zero_grad()
        model(x, labels)["loss"].backward()
        optimizer.step()
    optimizer.eval()  # the averages, which are what is deployed
    assert model.body[0].D.any()
    torch.testing.assert_close(fold(model)(x, labels), model(x, labels))
