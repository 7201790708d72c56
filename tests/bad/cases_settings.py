"""Settings that no run could have, and what is said of each: wrong words, values and studies."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from bad_runs import Case, all_of, nothing


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
    train("a mapping where a group is", "model={width: 8}", says=("model=NAME", "model.KEY=VALUE")),
    train("several values without -m", "seed=0,1", says=("needs -m",)),
    train("an unknown study", "-m", "+sweep=isofop", says=("no study 'isofop'", "'isoflop'")),
    train("a study without a plus", "-m", "sweep=demo", says=("sweep=demo", "+sweep=NAME")),
    train("two studies", "-m", "+sweep=demo,shape", says=("one study",)),
    train("a study of several runs without -m", "+sweep=demo", says=("several runs", "add -m")),
    train("a typo in a sweep of groups", "-m", "model=micro,mirco", says=("mirco", "micro")),
    train("a value that is nothing", "-m", "seed=", says=("seed=''", "a whole number")),
    train("an empty sweep", "-m", "seed=range(3,3)", says=("no run", "seed=range(3,3)")),
    train("a sweep of no choice", "-m", "seed=choice()", says=("'seed=choice()'", "KEY=VALUE")),
    train("another place for a group", "model@data=micro", says=("model@data=micro", "one place")),
    train(
        "a hyphen for an underscore", "log-every=5", says=("no setting 'log-every'", "'log_every'")
    ),
    train("letters of another language", "mödel.width=8", says=("mödel.width", "KEY=VALUE")),
    train("two lines", "study=a\nb", says=("'study=a\\nb'", "KEY=VALUE")),
    train("a colour", "model.width=8\x1b[31m", says=("8\\x1b[31m'", "KEY=VALUE")),
    train("brackets without end", "optim.betas=" + "[" * 2000, says=("[[[...", "closed")),
    train("an option of another flag", "-m", "--config-dir=/tmp", says=("no flag --config-dir",)),
    Case("no command", nothing, (), ("no command", "--help", "train, plan, fit")),
    Case("a flag before a command", nothing, ("--verbose", "train"), ("'--verbose'", "train")),
    Case("an empty command", nothing, ("",), ("no command ''", "train")),
    Case("a typo in a flag of plan", nothing, ("plan", "--jsn"), ("no flag --jsn", "--help")),
    Case("a typo in what plugins do", nothing, ("plugins", "chek"), ("'chek'", "'check'")),
    Case("plugins check of nothing", nothing, ("plugins", "check"), ("required: name",)),
    Case(
        "plugins check on a device of no name",
        nothing,
        ("plugins", "check", "sdpa", "--device", "tpu"),
        ("--device tpu is not here", "give cpu"),
    ),
    Case("a setting for the machine", nothing, ("bench", "--machine", "seed=1"), ("seed=1",)),
    Case("a typo in a flag of bench", nothing, ("bench", "--machin3"), ("--machin3", "--help")),
    Case("export of nothing", nothing, ("export", "nothing", "w"), ("no folder nothing", "RUN")),
    Case("data without a source", nothing, ("data",), ("required: source", "data --help")),
    Case("sync without a study", nothing, ("sync",), ("required: study", "sync --help")),
    Case("fit without a source", nothing, ("fit",), ("required: source", "fit --help")),
    Case("fit of nothing", nothing, ("fit", "nothing"), ("no nothing", "a study's folder")),
    Case("report of nothing", nothing, ("report", "nothing"), ("no study at nothing",)),
    Case("suggest without a fit", nothing, ("suggest", "x", "--budget", "1e9"), ("no x", "fitted")),
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
    train("a list for a number", "optim.lr=[1,2]", says=("optim.lr=[1, 2]", "a number")),
    train("null for a number", "model.width=null", says=("model.width=null", "a whole number")),
    train("a word for true", "tune=maybe", says=("tune='maybe'", "true or false")),
    train("true for a number", "seed=true", says=("seed=true", "a whole number")),
    train("a number for a list", "optim.betas=0.9", says=("optim.betas=0.9", "[0.9,0.99]")),
    train("null for a list", "optim.betas=null", says=("optim.betas=null", "[0.9,0.99]")),
    train("a word in a list", "optim.betas=[a,b]", says=("optim.betas[0]='a'", "a number")),
    train("a value for a section", "compute=3", says=("compute=3", "compute.flops")),
    train("a count written as 1e9", "data.batch_size=1e9", says=("1000000000.0", "whole number")),
    train("a count beyond a float", "model.width=1e400", says=("model.width=inf", "whole number")),
    train("a width of 31 digits", "model.width=1" + "0" * 30, says=("model.width", "at most")),
    train("a depth of 31 digits", "model.depth=1" + "0" * 30, says=("model.depth", "at most")),
    train("400 digits", "compute.images=1" + "0" * 400, says=("compute.images", "below 1e308")),
    train("more steps than seeds", "compute.steps=1e30", says=("compute.steps=1e+30", "at most")),
    train("no value yet", "seed=???", says=("seed has no value", "seed=VALUE")),
    train("a setting that is itself", "seed=${seed}", says=("seed refers to itself",)),
    train("an option of no type", "attention.backend=[1]", says=("attention.backend",)),
    train("no outputs", "outputs=", says=("outputs='' is empty",)),
    train("no project", "logger.project=", says=("logger.project='' is empty",)),
    train("a study of 101 letters", "study=" + "a" * 101, says=("study='aaa", "at most 100")),
    train("a study in an unseen folder", "study=.a", says=("study='.a'", "first a letter")),
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
    train("a hidden study", "study=.", says=("study='.'", "first a letter or digit")),
    train("a study of many words", "study='a b'", says=("study='a b'", "folder name")),
    train("an empty study", "study=''", says=("study=''", "folder name")),
    train(
        "no such setting to refer to",
        "seed=${sed}",
        says=("seed refers to 'sed'", "no such setting"),
    ),
    train(
        "no such variable",
        "study=${oc.env:NO_SUCH_VARIABLE}",
        says=("variable NO_SUCH_VARIABLE", "not set"),
    ),
    train("no such resolver", "seed=${eval:1}", says=("seed", "'eval:'", "${oc.env:NAME}")),
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
    train("a path without its kind", "data.path=x", says=("data.path='x'", "data=parquet")),
    train(
        "a preset's width without its heads",
        "model=s16",
        "model.width=63",
        says=("model.width=63", "model.heads=6"),
    ),
    train("parallel of no device", "parallel=ddp", "parallel.devices=0", says=("above 0",)),
    train(
        "parallel of one device", "parallel=ddp", "parallel.devices=1", says=("parallel=single",)
    ),
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
    train(
        "a launcher made of a mapping",
        *("-m", "seed=0,1", "hydra.launcher={_target_: os.system}"),
        says=("hydra.launcher=", "names code"),
    ),
    train(
        "a launcher made of a text",
        *("-m", "seed=0,1", "hydra.launcher.x='${oc.decode:${oc.env:HOME}}'"),
        says=("hydra.launcher.x", "${oc.env:NAME}"),
    ),
    train(
        "a resolver that is put together",
        *("-m", "seed=0,1", "study=decode", "hydra.launcher.x='${oc.${study}:a}'"),
        says=("hydra.launcher.x", "${oc.env:NAME}"),
    ),
    train(
        "a sweeper to execute", "-m", "hydra.sweeper._target_=os.system", says=("hydra.sweeper",)
    ),
    train(
        "a search space to import",
        *("-m", "+hydra.sweeper.custom_search_space=os.system"),
        says=("custom_search_space", "names code"),
    ),
    train("a whole launcher", "~hydra.launcher", says=("~hydra.launcher", "hydra/launcher=NAME")),
    train(
        "a launcher where callbacks are",
        "+hydra/launcher@hydra.callbacks.x=basic",
        says=("hydra/launcher@hydra.callbacks", "names code"),
    ),
    train("a logging class", "hydra.job_logging.x=1", says=("hydra.job_logging", "names code")),
    train("a folder of Hydra's", "hydra.run.dir=x", says=("hydra.run.dir", "hydra/launcher=NAME")),
    train("two launchers", "-m", "seed=0,1", "hydra/launcher=basic,joblib", says=("one launcher",)),
    train(
        "no launcher", "-m", "seed=0,1", "hydra/launcher=", says=("no hydra/launcher ''", "basic")
    ),
    train(
        "an option of another launcher",
        *("-m", "seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobz=2"),
        says=("hydra.launcher.n_jobz", "hydra/launcher=NAME"),
    ),
    train(
        "a word for a launcher's number",
        *("-m", "seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=two"),
        says=("hydra.launcher.n_jobs=two", "'two'", "Integer"),
    ),
    train("a kernel to make", "attention._target_=os.system", says=("attention=sdpa", "_target_")),
    train("an object at the top", "_target_=os.system", says=("no setting '_target_'",)),
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
    of_study("a typo in a key", "modle:\n  width: 8\n", ("mine.yaml", "'modle'", "'model'")),
    of_study(
        "a typo below a key",
        "model:\n  wdith: 8\n",
        ("mine.yaml", "'model.wdith'", "'model.width'"),
    ),
    of_study(
        "text for a number",
        "model:\n  width: wide\n",
        ("mine.yaml", "model.width='wide'", "a whole number"),
    ),
    of_study(
        "a choice of no name",
        "defaults:\n  - override /model: mirco\n",
        ("mine.yaml", "no choice of model 'mirco'", "'micro'"),
    ),
    of_study("a group of no name", "defaults:\n  - override /modle: s16\n", ("/modle", "/GROUP")),
    of_study("a word for defaults", "defaults: s16\n", ("mine.yaml", "- override /GROUP: NAME")),
    of_study("a study in a study", "defaults:\n  - override /sweep: demo\n", ("/sweep: demo",)),
    of_study("a group as a value", "model: s16\n", ("mine.yaml", "model='s16'", "/model: NAME")),
    of_study("a list for a group", "model: [8]\n", ("mine.yaml", "model=[8]", "model.width")),
    of_study("a number for a name", "1: 2\n", ("mine.yaml", "no setting '1'")),
    of_study("two documents", "seed: 1\n---\nseed: 2\n", ("mine.yaml", "document", "line 2")),
    of_study("lists without end", "[" * 3000, ("mine.yaml", "YAML")),
    of_study("a launcher of no name", "hydra: joblib\n", ("mine.yaml", "a launcher and a sweeper")),
    of_study(
        "a launcher that there is not",
        "defaults:\n  - override /hydra/launcher: slrum\n",
        ("mine.yaml", "'slrum'", "joblib"),
    ),
    of_study(
        "logging that is made",
        "defaults:\n  - override /hydra/job_logging: colorlog\n",
        ("mine.yaml", "hydra/job_logging", "names code"),
    ),
    of_study("an object to make", "model:\n  _target_: os.system\n", ("mine.yaml", "_target_")),
    of_study(
        "a launcher made of a text",
        "hydra:\n  launcher: ${oc.decode:${oc.env:HOME}}\n",
        ("mine.yaml", "hydra.launcher"),
    ),
    of_study(
        "a search space to import",
        "hydra:\n  sweeper:\n    custom_search_space: os.system\n",
        ("mine.yaml", "custom_search_space"),
    ),
    of_study(
        "a target that is swept",
        "hydra:\n  sweeper:\n    params:\n      hydra.launcher._target_: os.system,os.abort\n",
        ("mine.yaml", "_target_"),
    ),
    of_study(
        "nothing to sweep", "hydra: {sweeper: {params: {seed: }}}\n", ("mine.yaml", "no values")
    ),
    of_study(
        "a word to sweep", "hydra: {sweeper: {params: 3}}\n", ("mine.yaml", "KEY: VALUE,VALUE")
    ),
    of_study("a variable that is not set", "study: ${oc.env:NOPE}\n", ("variable NOPE", "not set")),
    of_study(
        "a sweeper's option that there is not",
        "hydra: {sweeper: {parms: {seed: '0,1'}}}\n",
        ("hydra.sweeper.parms", "Key 'parms' not in"),
    ),
    of_study(
        "a launcher to execute",
        "hydra:\n  launcher:\n    _target_: os.system\n  sweeper:\n    params:\n      seed: 0,1\n",
        ("hydra.launcher._target_", "mine.yaml"),
    ),
    of_study(
        "a callback to execute",
        "hydra:\n  callbacks:\n    x:\n      _target_: os.system\n",
        ("hydra.callbacks", "mine.yaml"),
    ),
    of_study(
        "a typo in what it sweeps",
        "hydra: {sweeper: {params: {sead: '0,1'}}}\n",
        ("mine.yaml", "'sead'", "'seed'"),
    ),
    Case(
        "a folder",
        lambda: Path("sweeps/mine.yaml").mkdir(parents=True),
        ("train", "-m", "+sweep=mine"),
        ("mine.yaml", "Is a directory"),
    ),
    Case(
        "a named pipe",
        all_of(lambda: Path("sweeps").mkdir(), lambda: os.mkfifo("sweeps/mine.yaml")),
        ("train", "-m", "+sweep=mine"),
        ("mine.yaml is a named pipe; give a file",),
    ),
    Case(
        "two studies of one name",
        study("seed: 1\n", "demo"),
        ("train", "-m", "+sweep=demo"),
        ("two studies are called 'demo'", "rename one"),
    ),
]

SETTINGS = [*WORDS, *VALUES, *TOGETHER, *STUDY_FILES]
