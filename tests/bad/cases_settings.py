"""Settings that no run could have, and what is said of each: wrong words, values and studies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bad_runs import Case, nothing


def study(text: str | bytes, name: str = "mine") -> Callable[[], None]:
    """A study of the user's own, in ./sweeps."""

    def write() -> None:
        Path("sweeps").mkdir(exist_ok=True)
        data = text if isinstance(text, bytes) else text.encode()
        Path("sweeps", f"{name}.yaml").write_bytes(data)

    return write


def train(name: str, *settings: str, says: tuple[str, ...]) -> Case:
    return Case(name, nothing, ("train", *settings), says)


def of_study(name: str, text: str | bytes, says: tuple[str, ...], *settings: str) -> Case:
    return Case(name, study(text), ("train", "-m", "+sweep=mine", *settings), says)


LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{one}'] * 9)}]\n"
    for one, after in zip("abcdefgh", "bcdefghi", strict=True)
)

WORDS = [
    train("a typo in a key", "modle.width=8", says=("'modle.width'", "mean 'model.width'")),
    train("a typo in a part of a key", "model.wdith=8", says=("model.wdith", "'model.width'")),
    train(
        "a typo in a group's choice", "model=mirco", says=("no choice of model 'mirco'", "micro")
    ),
    train("a typo in a kernel", "attention=spda", says=("no attention plugin 'spda'", "'sdpa'")),
    train("a typo in an encoding", "position=sincos", says=("position plugin", "sincos2d")),
    train("an option of another kernel", "attention.radius=2", says=("radius", "attention=sdpa")),
    train("an added key", "+model.extra=1", says=("+model.extra=1", "not added or deleted")),
    train("a forced key", "++model.extra=1", says=("no setting 'model.extra'", "model has: width")),
    train("a deleted group", "~model", says=("~model", "model=NAME")),
    train("a deleted key", "~model.width", says=("~model.width", "not added or deleted")),
    train("no equals sign", "model.width", says=("KEY=VALUE",)),
    train("an empty word", "", says=("KEY=VALUE",)),
    train("two equals signs", "model.width==8", says=("'model.width==8'", "KEY=VALUE")),
    train("an unclosed bracket", "optim.betas=[0.9,0.99", says=("KEY=VALUE",)),
    train("an unclosed quote", "study='mine", says=("KEY=VALUE",)),
    train("a flag that is none", "--epochs", "3", says=("no flag --epochs", "KEY=VALUE")),
    train("a value of a mapping where a group is", "model={width: 8}", says=("model",)),
    train("several values without -m", "seed=0,1", says=("needs -m",)),
    train("an unknown study", "-m", "+sweep=isofop", says=("no study 'isofop'", "'isoflop'")),
    train("a study without a plus", "-m", "sweep=demo", says=("sweep=demo", "+sweep=NAME")),
    train("two studies", "-m", "+sweep=demo,shape", says=("one study",)),
    train("a study of several runs without -m", "+sweep=demo", says=("several runs", "add -m")),
    train("a typo in a sweep of groups", "-m", "model=micro,mirco", says=("mirco", "micro")),
    train("an empty sweep", "-m", "seed=", says=("seed",)),
    Case("an unknown command", nothing, ("trian",), ("no command 'trian'", "'train'")),
    Case("a study for plan", nothing, ("plan", "+sweep=demo"), ("several runs", "-m")),
    Case("an unknown plugin to check", nothing, ("plugins", "check", "spda"), ("spda", "sdpa")),
    Case("bench of an unknown model", nothing, ("bench", "model=s61"), ("s61", "s16")),
    Case("export without a file", nothing, ("export", "outputs/x"), ("required: file", "--help")),
    Case("data of nothing", nothing, ("data", "no-such-folder"), ("no-such-folder",)),
    Case("sync of nothing", nothing, ("sync", "no-such-study"), ("no-such-study",)),
    Case("prescribe without a budget", nothing, ("prescribe", "x"), ("--flops",)),
    Case("prescribe with words", nothing, ("prescribe", "x", "--flops", "much"), ("much",)),
]

VALUES = [
    train("text for a number", "model.width=wide", says=("model.width='wide'", "a whole number")),
    train("a fraction for a count", "model.depth=1.5", says=("model.depth=1.5", "a whole number")),
    train("a list for a number", "optim.lr=[1,2]", says=("optim.lr",)),
    train("nothing for a number", "model.width=null", says=("model.width",)),
    train("zero", "model.width=0", says=("model.width=0", "above 0")),
    train("negative", "compute.flops=-1", says=("compute.flops=-1", "above 0")),
    train("not a number", "optim.lr=nan", says=("optim.lr=nan", "finite")),
    train("infinite", "compute.flops=inf", says=("compute.flops=inf", "finite")),
    train("beyond a float", "compute.flops=1e999", says=("compute.flops=inf", "finite")),
    train("a seed too large", "seed=99999999999", says=("seed=99999999999", "at most")),
    train("more threads than a node has", "threads=99999", says=("threads=99999", "at most 1024")),
    train("a fraction above one", "model.drop_path=1.5", says=("drop_path=1.5", "0 to 1")),
    train("a negative fraction", "schedule.warmup=-0.1", says=("schedule.warmup=-0.1", "0 to 1")),
    train("three betas", "optim.betas=[0.9,0.9,0.9]", says=("optim.betas", "two numbers")),
    train("a beta of one", "optim.betas=[0.9,1]", says=("optim.betas", "below 1")),
    train("an unknown optimizer", "optim.name=adamm", says=("optimizer 'adamm'", "adam")),
    train("an average of one", "optim.ema=1", says=("optim.ema=1", "as 0.999")),
    train("a norm of no name", "model.norm=layer", says=("model.norm", "layernorm")),
    train("a pool of no name", "model.pool=max", says=("model.pool", "avg")),
    train("a device of no name", "parallel.device=tpu", says=("parallel.device", "cuda")),
    train("a compile mode of no name", "compile=fast", says=("compile=fast", "max-autotune")),
    train("two channels", "model.channels=2", says=("model.channels=2", "1 (grey) or 3")),
    train("a study above its folder", "study=../up", says=("study='../up'", "folder name")),
    train("a hidden study", "study=.", says=("study='.'", "folder name")),
    train("a study of many words", "study='a b'", says=("study='a b'", "folder name")),
    train("an empty study", "study=''", says=("study=''", "folder name")),
    train("no such setting to refer to", "seed=${sed}", says=("seed", "sed")),
    train("no such variable", "study=${oc.env:NO_SUCH_VARIABLE}", says=("NO_SUCH_VARIABLE",)),
    train("no such resolver", "seed=${eval:1}", says=("seed", "eval")),
    train("a machine of no name", "hardware=h1000", says=("h1000", "h100")),
    Case("plan for a machine of no name", nothing, ("plan", "hardware=h1000"), ("h1000", "h100")),
    train("a price below zero", "price=-1", says=("price=-1", "above 0")),
]

TOGETHER = [
    train("width and heads", "model.width=65", "model.heads=2", says=("65", "multiple", "heads=2")),
    train(
        "patch and image",
        "model.patch=3",
        says=("model.patch=3", "size 8", "give a patch that does"),
    ),
    train(
        "two lengths",
        "compute.flops=1e9",
        "compute.steps=3",
        says=("compute.flops and compute.steps",),
    ),
    train("too few FLOPs", "compute.flops=10", says=("compute.flops", "one step")),
    train("kv heads", "model.width=64", "model.heads=4", "model.kv_heads=3", says=("kv_heads=3",)),
    train(
        "warm-up and cool-down", "schedule.warmup=0.7", "schedule.cooldown=0.7", says=("above 1",)
    ),
    train("a ladder of steps", "ladder.relative=1", "compute.steps=9", says=("compute.flops",)),
    train("data without a path", "data=parquet", says=("data=parquet", "data.path=...")),
    train(
        "a micro-batch above the batch", "parallel.micro_batch=100", says=("100", "batch_size=64")
    ),
    train(
        "one device of two",
        "parallel.devices=2",
        says=("parallel=single", "one device", "parallel=ddp"),
    ),
    train("devices that are not there", "parallel=ddp", "parallel.devices=999", says=("999",)),
    train(
        "heads over devices",
        *("parallel=tp", "parallel.devices=2", "model.width=24", "model.heads=3"),
        says=("model.heads=3", "2 devices"),
    ),
    train(
        "an average lost in bf16", "optim.ema=0.9", "precision=bf16_true", says=("precision=bf16",)
    ),
    train("tf32 on a CPU", "precision=tf32", "parallel.device=cpu", says=("precision=fp32",)),
    train("a crop larger than the image", "data.augment.crop=99", says=("crop", "8")),
    train("no such launcher", "-m", "seed=0,1", "hydra/launcher=slrum", says=("slrum", "basic")),
    train("no such sweeper", "-m", "seed=0,1", "hydra/sweeper=grid", says=("grid", "basic")),
    train(
        "a launcher to execute",
        *("-m", "seed=0,1", "hydra.launcher._target_=os.system"),
        says=("hydra.launcher._target_", "hydra/launcher=NAME"),
    ),
    train("an object to make", "model._target_=os.system", says=("model._target_",)),
    train(
        "a callback to execute", "+hydra.callbacks.x._target_=os.system", says=("hydra.callbacks",)
    ),
    train("another search path", "hydra.searchpath=[file:///tmp]", says=("hydra.searchpath",)),
    Case(
        "outputs that is a file",
        lambda: Path("outputs").write_text("mine"),
        ("train", "compute.steps=1"),
        ("outputs", "is a file"),
    ),
]

STUDY_FILES = [
    of_study("a list", "- seed: 1\n", ("mine.yaml", "mapping")),
    of_study("a word", "seed\n", ("mine.yaml", "mapping")),
    of_study("nothing", "", ("mine.yaml", "mapping")),
    of_study("tabs", "model:\n\twidth: 8\n", ("mine.yaml", "YAML")),
    of_study("an unclosed list", "seed: [1, 2\n", ("mine.yaml", "YAML")),
    of_study("a key twice", "seed: 1\nseed: 2\n", ("mine.yaml", "seed")),
    of_study("a bomb of aliases", LAUGHS, ("mine.yaml", "aliases")),
    of_study("not UTF-8", b"study: \xff\xfe\n", ("mine.yaml", "UTF-8")),
    of_study("a Python object", "seed: !!python/object/apply:os.system [ls]\n", ("mine.yaml",)),
    of_study("a typo in a key", "modle:\n  width: 8\n", ("modle", "model")),
    of_study("a typo below a key", "model:\n  wdith: 8\n", ("model", "wdith")),
    of_study("text for a number", "model:\n  width: wide\n", ("model.width", "wide")),
    of_study("an unknown group", "defaults:\n  - override /model: mirco\n", ("mirco",)),
    of_study(
        "a launcher to execute",
        "hydra:\n  launcher:\n    _target_: os.system\n  sweeper:\n    params:\n      seed: 0,1\n",
        ("hydra.launcher._target_", "mine"),
    ),
    of_study(
        "a callback to execute",
        "hydra:\n  callbacks:\n    x:\n      _target_: os.system\n",
        ("hydra.callbacks", "mine"),
    ),
    of_study("a typo in what it sweeps", "hydra: {sweeper: {params: {sead: '0,1'}}}\n", ("sead",)),
    Case(
        "a folder",
        lambda: Path("sweeps/mine.yaml").mkdir(parents=True),
        ("train", "-m", "+sweep=mine"),
        ("mine.yaml",),
    ),
    Case(
        "two studies of one name",
        study("seed: 1\n", "demo"),
        ("train", "-m", "+sweep=demo"),
        ("two studies are called 'demo'",),
    ),
]

SETTINGS = [*WORDS, *VALUES, *TOGETHER, *STUDY_FILES]
