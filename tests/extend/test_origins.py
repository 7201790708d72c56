"""`vitladder plugins` says where each plugin comes from, and they come from nowhere else."""

from __future__ import annotations

import sys
from pathlib import Path

import forked
import pytest

KERNEL = '''
from dataclasses import dataclass
from vitladder.extend.attention import AttentionKernel

@dataclass(frozen=True)
class Mine(AttentionKernel):
    """Of its own."""

    def __call__(self, q, k, v, **rest):
        return (v, q[..., 0].float()) if rest.get("return_lse") else v
'''


def write(*places: str) -> None:
    """Write a kernel to each of these places."""
    for place in places:
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        Path(place).write_text(KERNEL)


def install() -> None:
    """Make the folder `site` one that packages are installed in."""
    sys.path.insert(0, str(Path("site").absolute()))


def listed() -> dict[str, str]:
    """The origin of every kernel that the command lists, where `site` is installed."""
    said = Path("said").absolute()
    process = forked.start(["plugins"], said, before=install)
    process.join(60)
    assert process.exitcode == 0, said.with_suffix(".err").read_text()
    lines = said.with_suffix(".out").read_text().partition("position:")[0].splitlines()
    rows = [line.split() for line in lines if line.endswith("]")]
    return {row[0]: row[-1] for row in rows}


def test_the_package_the_working_folder_and_entry_points_are_named() -> None:
    write("plugins/attention/mine.py", "site/acme/kernel.py")
    info = Path("site/acme-1.0.dist-info")
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vitladder.attention]\ntheirs = acme.kernel\n")
    found = listed()
    assert (found["mine"], found["theirs"], found["sdpa"]) == (
        "[./plugins]",
        "[acme]",
        "[vitladder]",
    )
    assert {name for name in found if found[name] != "[vitladder]"} == {"mine", "theirs"}


def test_nothing_is_loaded_from_elsewhere() -> None:
    write("attention/a.py", "plugins/b.py", "plugins/attention/deep/c.py")
    write("plugins/attention/_d.py", "plugins/attention/e.txt")
    write("site/vitladder/plugins/attention/f.py")
    assert set(listed().values()) == {"[vitladder]"}


@pytest.mark.parametrize("name", ["my-kernel", "class", "kernel 2"])
def test_a_file_is_called_as_its_author_likes(name: str) -> None:
    write(f"plugins/attention/{name}.py")
    done = forked.run(
        "train", "model=micro-8", "compute.steps=1", "logger=csv", f"attention={name}"
    )
    assert done.returncode == 0, done.stderr
