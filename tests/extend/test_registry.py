"""Plugins are found in three places, read without being run, and loaded by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vitladder.errors import UserError
from vitladder.extend import registry
from vitladder.extend.options import check_value, read_declaration

KERNEL = '''
from dataclasses import dataclass
from vitladder.extend.attention import AttentionKernel

@dataclass(frozen=True)
class Mine(AttentionKernel):
    """Mine alone."""
    window: int = 7
    mode: str = "fast"

    def __call__(self, q, k, v, *, bias=None, causal=False, scale=None, return_lse=False):
        return v
'''


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """The folder ./plugins/attention of a working folder."""
    folder = tmp_path / "plugins" / "attention"
    folder.mkdir(parents=True)
    return folder


def test_the_packages_own_plugins_are_found() -> None:
    assert {"naive", "sdpa"} <= set(registry.discover("attention"))
    assert {"learned", "sincos2d"} <= set(registry.discover("position"))
    assert registry.load("position", "sincos2d", temperature=100).temperature == 100  # type: ignore[attr-defined]


def test_a_local_plugin_is_found_and_loaded_with_its_options(local: Path) -> None:
    (local / "mine.py").write_text(KERNEL)
    found = registry.find("attention", "mine")
    assert found.origin == "./plugins"
    assert found.declaration().summary == "Mine alone."
    kernel = registry.load("attention", "mine", window=9)
    assert (kernel.window, kernel.mode) == (9, "fast")  # type: ignore[attr-defined]


def test_the_checkouts_plugins_seen_from_the_checkout_are_no_clash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    assert registry.find("attention", "sdpa").origin == "vitladder"


def test_two_plugins_with_one_name_are_an_error(local: Path) -> None:
    (local / "sdpa.py").write_text(KERNEL)
    with pytest.raises(UserError, match="two attention plugins are called 'sdpa'"):
        registry.discover("attention")


def test_copies_of_the_packages_plugins_in_the_working_folder_are_no_clash(local: Path) -> None:
    for own in registry.discover("attention").values():
        (local / own.file.name).write_bytes(own.file.read_bytes())
    assert registry.find("attention", "naive").origin == "vitladder"
    (local / "mine.py").write_text(KERNEL)
    assert registry.find("attention", "mine").origin == "./plugins"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("def f(:\n", "cannot be read"),
        ("x = 1\n", "exactly one public class .it has: none."),
        ("class A: ...\nclass B: ...\n", "it has: A, B"),
        ("class A:\n    n: int\n", "line 2: n needs a literal default"),
        ("class A:\n    n: int = len('a')\n", "line 2: n needs a literal default"),
        ("class A:\n    n: list = None\n", "list is no option type"),
    ],
)
def test_a_file_that_declares_no_plugin_is_one_line(local: Path, source: str, says: str) -> None:
    (local / "mine.py").write_text(source)
    with pytest.raises(UserError, match=says) as caught:
        registry.find("attention", "mine").declaration()
    assert "\n" not in str(caught.value)


def test_a_plugin_that_cannot_be_imported_says_why(local: Path) -> None:
    (local / "mine.py").write_text("import no_such_module\nclass Mine: ...\n")
    with pytest.raises(UserError, match="ModuleNotFoundError: No module named 'no_such_module'"):
        registry.load("attention", "mine")


def test_a_class_outside_of_the_contract_is_refused(local: Path) -> None:
    (local / "mine.py").write_text("class Mine: ...\n")
    with pytest.raises(UserError, match="must be a subclass of AttentionKernel"):
        registry.load("attention", "mine")


def test_unknown_names_and_options_name_the_nearest() -> None:
    with pytest.raises(UserError, match="no attention plugin 'spda'; did you mean 'sdpa'"):
        registry.load("attention", "spda")
    with pytest.raises(UserError, match="no option of position=sincos2d 'temprature'"):
        registry.load("position", "sincos2d", temprature=3)


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        ("int", 3, 3.5),
        ("int", 3, True),
        ("float", 3, "3"),
        ("bool", True, 1),
        ("str | None", None, 3),
        ("Literal['a', 'b']", "a", "c"),
    ],
)
def test_options_are_typed(annotation: str, good: object, bad: object) -> None:
    check_value("attention.x", annotation, good)
    with pytest.raises(UserError, match=r"attention\.x"):
        check_value("attention.x", annotation, bad)


def test_options_are_read_in_order_with_their_types(local: Path) -> None:
    (local / "mine.py").write_text(KERNEL)
    options = read_declaration(local / "mine.py").options
    assert [(name, o.annotation, o.default) for name, o in options.items()] == [
        ("window", "int", 7),
        ("mode", "str", "fast"),
    ]


def test_an_entry_point_brings_a_plugin(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "acme_kernels").mkdir(parents=True)
    (site / "acme_kernels" / "__init__.py").write_text("")
    (site / "acme_kernels" / "window.py").write_text(KERNEL)
    info = site / "acme_kernels-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-kernels\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vitladder.attention]\nacme = acme_kernels.window\n")
    code = (
        "from vitladder.extend import registry; p = registry.find('attention', 'acme'); "
        "print(p.origin, registry.load('attention', 'acme', window=3).window)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(site), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["acme-kernels", "3"]


def test_listing_plugins_runs_none_of_them_and_needs_no_torch(local: Path) -> None:
    (local / "mine.py").write_text("raise SystemExit('was run')\nclass Mine:\n    n: int = 1\n")
    code = (
        "import sys; from vitladder.cli import main; code = main(['plugins']); "
        "sys.exit(code or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "mine" in done.stdout
    assert "attention.n=1" in done.stdout
