"""The folded network against the plain one: the same classes, operators, bytes and time.

python -m benchmarks.inference --framework torch --preset short
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks.frame.plot import bars, of_ratio
from benchmarks.frame.program import Bar, Report, Settings, command
from benchmarks.frame.table import ratio_table, table
from benchmarks.frame.timing import Ratio, interleave, ratios
from benchmarks.subjects.work import Work, works


def measure(settings: Settings, bar: Bar) -> Report:
    """Compare the folded network with the plain one, and with itself before the fold."""
    module = importlib.import_module(f"benchmarks.with_{settings.framework}.inference")
    # Each network once: a folded one is compiled, and takes micro-batches, as any plain one.
    asked: dict[tuple[str, int, int], Work] = {}
    for work in works(settings.framework, settings.preset, settings.variant):
        usual = work._replace(compiler="", micro_batches=1)
        asked.setdefault((work.network, work.batch, work.size), usual)
    bar.total(len(asked) * settings.rounds)
    made: dict[str, dict[str, Any]] = {}
    times: dict[str, dict[str, Ratio]] = {}
    for work in asked.values():
        bar.says(work)
        networks, x = _networks(module, work), module.images(work)
        made[str(work)] = _compared(module, networks, x)
        steps = {name: partial(module.predict, net, x) for name, net in networks.items()}
        times[str(work)] = ratios(
            interleave(steps, settings.rounds, bar.advance, clock=module.clock(work))
        )
    tables = []
    for name, each in made.items():
        tables.append(table(f"{name}: of what it is made", ("plain", "folded", ""), _rows(each)))
        tables.append(ratio_table(f"{name}: time", times[name]))
    panels = {work: {n: of_ratio(r) for n, r in each.items()} for work, each in times.items()}
    return Report(
        {
            "made_of": made,
            "ratios": {w: {n: r._asdict() for n, r in each.items()} for w, each in times.items()},
        },
        tables,
        bars(panels, f"Inference, {settings.framework}", "ratio of time to the plain network"),
    )


def _networks(module: Any, work: Work) -> dict[str, Any]:
    """The plain network; it converted, with some D as training leaves it; and that folded."""
    plain = module.network(work)
    trained = module.adapter.convert(plain)
    random = np.random.default_rng(0)
    state = {
        name: replace(layer, D=random.normal(0, 0.01, layer.D.shape).astype(layer.D.dtype))
        for name, layer in module.adapter.get_state(trained).items()
        if layer.D is not None
    }
    module.adapter.set_state(trained, state)
    folded = module.adapter.fold(trained)
    return {"plain": plain, "folded": folded, "DO-Conv, not folded": trained}


def _compared(module: Any, networks: dict[str, Any], x: Any) -> dict[str, Any]:
    plain, folded, trained = networks.values()
    outputs, before = module.predict(folded, x), module.predict(trained, x)
    result: dict[str, Any] = {}
    for name, of in (
        ("classes", module.modules),
        ("operators", partial(_operators, module, x)),
        ("arrays", module.arrays),
    ):
        one, other = of(plain), of(folded)
        result[name] = {"plain": len(one), "folded": len(other), "same": one == other}
    sizes = [sum(size for *_, size in module.arrays(net)) for net in (plain, folded)]
    result["bytes"] = {"plain": sizes[0], "folded": sizes[1], "same": sizes[0] == sizes[1]}
    result["largest_change_by_fold"] = float(abs(outputs - before).max() / abs(before).max())
    return result


def _operators(module: Any, x: Any, net: Any) -> list[Any]:
    operators: list[Any] = module.operators(net, x)
    return operators


def _rows(made: dict[str, Any]) -> list[tuple[str, ...]]:
    rows = [
        (
            name,
            f"{each['plain']:,}",
            f"{each['folded']:,}",
            "the same" if each["same"] else "NOT the same",
        )
        for name, each in made.items()
        if isinstance(each, dict)
    ]
    change = made["largest_change_by_fold"]
    return [*rows, ("largest change of an output by fold", "", f"{change:.1e}", "of the largest")]


app = command("inference", measure, rounds={"tiny": 1, "short": 11, "full": 21})

if __name__ == "__main__":
    app()
