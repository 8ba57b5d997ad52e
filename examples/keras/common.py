"""What the two recipes share: options, the loop that can be interrupted, the end.

What is random in a step (order, augmentation, dropout) follows from ``--seed``, the step's number
and what the checkpoint holds, so a run that was interrupted goes on as if it had not been.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from doconv_tf import summary
from examples import names
from examples.names import Names


def options(
    description: str, network: str, networks: Names, stages: tuple[str, ...]
) -> argparse.ArgumentParser:
    """Those that every recipe has."""
    parser = argparse.ArgumentParser(
        description=description, epilog=names.listed(networks),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    known = partial(names.known, networks)
    add = parser.add_argument
    add("--data", type=Path, required=True, metavar="FOLDER")
    add("--output", type=Path, default=Path("runs/keras"), help="checkpoint and results")
    add("--network", type=known, default=network, help=f"by default {network}")
    add("--do-conv", choices=stages, default="all", help="which convolutions; by default all")
    add("--D-mul", type=int, help="columns of W; by default the kernel's elements")
    add("--weights", type=Path, help="a plain network's, such as folded.weights.h5, to begin with")
    add("--epochs", type=int, help="by default the recipe's")
    add("--steps", type=int, help="end after so many; 0 evaluates only")
    add("--batch-size", type=int, help="of all devices together")
    add("--lr", type=float, help="by default the recipe's, scaled to the batch")
    add("--bf16", action="store_true", help="train in mixed_bfloat16")
    add(
        "--ema", type=float, metavar="DECAY", help="keep, and fold, a moving average of the weights"
    )
    add("--distribute", action="store_true", help="over all devices of this machine")
    add("--seed", type=int, default=0)
    return parser


def start(
    args: argparse.Namespace, settings: dict[str, Any]
) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    """Fill in what was not given; the scope in which to make networks."""
    given = args.lr
    for name, value in settings.items():
        if getattr(args, name, None) is None:
            setattr(args, name, value)
    if given is None:
        args.lr *= args.batch_size / settings["batch_size"]
    args.output.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(args.seed)
    keras.config.set_dtype_policy("mixed_bfloat16" if args.bf16 else "float32")
    if not args.distribute:
        return contextlib.nullcontext
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.distribute.MirroredStrategy().scope
    keras.distribution.set_distribution(keras.distribution.DataParallel())
    return contextlib.nullcontext


def no_data(rule: str, received: Path) -> NoReturn:
    """End with what was expected where."""
    raise SystemExit(f"No data: {rule} Received: --data={received}.")


def steps_in(args: argparse.Namespace, images: int) -> int:
    """How many whole batches an epoch has."""
    if images < args.batch_size:
        raise SystemExit(f"A batch of {args.batch_size} needs as many images; there are {images}.")
    return images // args.batch_size


def sgd(args: argparse.Namespace, rate: Any) -> keras.optimizers.Optimizer:
    """At a rate that follows a schedule."""
    return keras.optimizers.SGD(rate, momentum=0.9, weight_decay=args.weight_decay)


# --- the loop


class _Interrupt(keras.callbacks.Callback):
    """Ends fit after the step in which Ctrl-C, or a cluster's SIGTERM, has come."""

    asked = False

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.model.stop_training = self.asked


@contextlib.contextmanager
def _interruptible() -> Iterator[_Interrupt]:
    callback = _Interrupt()

    def ask(*_: Any) -> None:
        callback.asked = True

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, ask) for number in numbers]
    try:
        yield callback
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def resume(args: argparse.Namespace, model: keras.Model) -> None:
    """Load the run's checkpoint, if there is one, with the optimizer's state."""
    model.optimizer.build(model.trainable_variables)
    path, ours = args.output / "run.json", _described(args)
    if not path.exists():
        return
    run = json.loads(path.read_text())
    other = sorted(name for name, old in run["options"].items() if ours.get(name) != old)
    if other:
        raise SystemExit(
            f"{args.output} is of a run that differs in {', '.join(other)}."
            " Use its options, or another --output."
        )
    model.load_weights(args.output / f"{run['step']}.weights.h5")
    for variable, state in zip(_seeds(model), run["seeds"], strict=True):
        variable.assign(state)


def _seeds(model: keras.Model) -> list[Any]:
    """The states of dropout and the like, which Keras 3.15 does not save with the weights."""
    return [each for each in model.variables if "seed_generator" in each.path]


def _described(args: argparse.Namespace) -> dict[str, str]:
    may_differ = ("data", "output", "steps", "workers")
    return {name: str(value) for name, value in vars(args).items() if name not in may_differ}


def train(
    args: argparse.Namespace,
    model: keras.Model,
    per_epoch: int,
    batches: Callable[[int, int], Any],
    validation: Any,
) -> None:
    """Go on until the epochs, or ``--steps``, are done; a checkpoint after each epoch.

    ``batches`` are those of an epoch from a step of it on.
    """
    last = args.epochs * per_epoch if args.steps is None else args.steps
    with _interruptible() as interrupt:
        while (done := _steps(model)) < last:
            epoch, at = divmod(done, per_epoch)
            model.fit(
                batches(epoch, at),
                initial_epoch=epoch,
                epochs=epoch + 1,
                steps_per_epoch=min(per_epoch - at, last - done),
                validation_data=validation if last - done > per_epoch - at else None,
                callbacks=[interrupt],
                shuffle=False,
            )
            _save(args, model)
            done = _steps(model)
            if interrupt.asked and done < last:
                raise SystemExit(
                    f"Interrupted after {done} of {last} steps; the same command goes on."
                )


def _steps(model: keras.Model) -> int:
    """How many its optimizer has taken."""
    return int(keras.ops.convert_to_numpy(model.optimizer.iterations))


def _save(args: argparse.Namespace, model: keras.Model) -> None:
    """The checkpoint that run.json names is whole at any time."""
    old, step = set(args.output.glob("[0-9]*.weights.h5")), _steps(model)
    path = args.output / f"{step}.weights.h5"
    model.save_weights(path)
    seeds = [keras.ops.convert_to_numpy(each).tolist() for each in _seeds(model)]
    run = {"step": step, "options": _described(args), "seeds": seeds}
    (args.output / "run.new").write_text(json.dumps(run))
    (args.output / "run.new").replace(args.output / "run.json")
    for each in old - {path}:
        each.unlink()


# --- the end


def finish(
    args: argparse.Namespace,
    trained: keras.Model,
    deployed: keras.Model,
    evaluate: Callable[[keras.Model], dict[str, float]],
) -> dict[str, Any]:
    """Save the folded network and evaluate it; its results, printed as a line of JSON."""
    deployed.save(args.output / "folded.keras")
    deployed.save_weights(args.output / "folded.weights.h5")
    result = {
        "network": args.network,
        "do_conv": args.do_conv,
        "D_mul": args.D_mul,
        "seed": args.seed,
        "layers": len(summary(trained).converted),
        **evaluate(deployed),
        "file": str(args.output / "folded.keras"),
    }
    (args.output / "result.json").write_text(json.dumps(result) + "\n")
    print(json.dumps(result), flush=True)
    return result
