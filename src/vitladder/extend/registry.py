"""Finds plugins and loads them: the package's own, ./plugins of the working folder, entry points.

Listing plugins and checking their options reads the source and runs none of it, so that it stays
quick and needs no torch; only `load` imports a plugin.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from filecmp import cmp
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, overload

from vitladder.errors import UserError, unknown
from vitladder.extend.attention import AttentionKernel
from vitladder.extend.options import Declaration, check_value, read_declaration
from vitladder.extend.position import PositionEncoding

KINDS = ("attention", "position")
_PACKAGE = "vitladder"


@dataclass(frozen=True)
class Plugin:
    """One plugin that was found: its name, its file, and who brought it."""

    kind: str
    name: str
    file: Path
    module: str
    origin: str

    def declaration(self) -> Declaration:
        """Return the plugin's class name, summary and options, read from its source."""
        stat = self.file.stat()
        return _declared(self.file, stat.st_mtime_ns, stat.st_size)

    def foreign_code(self) -> str | None:
        """Return the sha256 of the plugin's file; None for one of the package's own.

        What the file imports does not count.
        """
        if self.origin == _PACKAGE:
            return None
        return hashlib.sha256(self.file.read_bytes()).hexdigest()


def discover(kind: str) -> dict[str, Plugin]:
    """Return every plugin of a kind by name; two different files with one name raise UserError.

    Files of the same bytes are one plugin: an installed package may be used inside a checkout.
    """
    if kind not in KINDS:
        raise unknown("plugin kind", kind, KINDS)
    found: dict[str, Plugin] = {}
    for plugin in [*_packaged(kind), *_local(kind), *_installed(kind)]:
        other = found.setdefault(plugin.name, plugin)
        if other.file != plugin.file and not cmp(other.file, plugin.file, shallow=False):
            raise UserError(
                f"two {kind} plugins are called '{plugin.name}': {other.file} and {plugin.file}; "
                f"rename one of them"
            )
    return dict(sorted(found.items()))


def find(kind: str, name: str) -> Plugin:
    """Return the plugin with this name; UserError names the nearest one that exists."""
    plugins = discover(kind)
    if name not in plugins:
        raise unknown(f"{kind} plugin", name, plugins)
    return plugins[name]


def check_options(kind: str, name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return all options of a plugin, defaults filled in; UserError for a wrong name or type."""
    declared = find(kind, name).declaration().options
    for key, value in options.items():
        if key not in declared:
            raise unknown(f"option of {kind}={name}", key, declared)
        check_value(f"{kind}.{key}", declared[key].annotation, value)
    return {key: options.get(key, option.default) for key, option in declared.items()}


@overload
def load(kind: Literal["attention"], name: str, **options: Any) -> AttentionKernel: ...
@overload
def load(kind: Literal["position"], name: str, **options: Any) -> PositionEncoding: ...
def load(kind: str, name: str, **options: Any) -> Any:
    """Import a plugin and return it with these options; an attention plugin is the kernel.

    Raises UserError for a name, option or type that does not exist, and where the plugin's file
    cannot be imported.
    """
    plugin = find(kind, name)
    checked = check_options(kind, name, options)
    made = _class(plugin)
    try:
        return made(**checked)
    except Exception as error:
        raise UserError(
            f"{kind}={name} refuses its options {checked}: {error} ({plugin.file})"
        ) from error


def raised_by_plugin(error: Exception) -> UserError | None:
    """Return the error of a plugin from elsewhere, with its place; None if it is no plugin's."""
    try:
        found = [plugin for kind in KINDS for plugin in discover(kind).values()]
    except UserError:
        return None
    foreign = {str(plugin.file): plugin for plugin in found if plugin.origin != _PACKAGE}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if (plugin := foreign.get(frame.filename)) is not None:
            return UserError(
                f"{plugin.kind}={plugin.name}: {frame.name} raises {type(error).__name__}: {error} "
                f"({plugin.file}, line {frame.lineno}); see `vitladder plugins check {plugin.name}`"
            )
    return None


@cache
def _packaged(kind: str) -> tuple[Plugin, ...]:
    package = importlib.import_module(f"vitladder.plugins.{kind}")
    folders = [Path(folder) for folder in package.__path__]
    return tuple(
        plugin for folder in folders for plugin in _files(kind, folder, package.__name__, _PACKAGE)
    )


def _local(kind: str) -> tuple[Plugin, ...]:
    folder = Path.cwd() / "plugins" / kind
    # A folder's time changes when a file comes or goes; files are listed again then.
    return _in_folder(kind, folder, folder.stat().st_mtime_ns) if folder.is_dir() else ()


@cache
def _in_folder(kind: str, folder: Path, changed: int) -> tuple[Plugin, ...]:
    del changed
    return tuple(_files(kind, folder, "", "./plugins"))


def _files(kind: str, folder: Path, package: str, origin: str) -> Iterator[Plugin]:
    for file in sorted(folder.glob("*.py")):
        # Editors keep links to nowhere beside the file that is open; a pipe would be waited for.
        if not file.name.startswith(("_", ".")) and file.exists() and not file.is_fifo():
            module = f"{package}.{file.stem}" if package else ""
            yield Plugin(kind, file.stem, file.resolve(), module, origin)


def _installed(kind: str) -> Iterator[Plugin]:
    for entry in _entry_points(kind, tuple(sys.path)):
        try:
            spec = importlib.util.find_spec(entry.module)
        except ImportError as error:
            raise UserError(
                f"{kind} plugin '{entry.name}': {entry.value} cannot be found ({error})"
            ) from error
        if spec is None or spec.origin is None:
            raise UserError(f"{kind} plugin '{entry.name}': there is no module {entry.module}")
        owner = entry.dist.name if entry.dist else "entry point"
        yield Plugin(kind, entry.name, Path(spec.origin).resolve(), entry.module, owner)


@cache
def _declared(file: Path, changed: int, size: int) -> Declaration:
    """Read a file once for as long as it does not change."""
    del changed, size
    return read_declaration(file)


@cache
def _entry_points(kind: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Ask once what is installed: that reads the metadata of every package on the path."""
    del path
    return tuple(entry_points(group=f"vitladder.{kind}"))


def _class(plugin: Plugin) -> type[Any]:
    """Import a plugin's class; UserError where it does not have what its contract asks."""
    made: Any = getattr(_import(plugin), plugin.declaration().class_name)
    contract = {"attention": AttentionKernel, "position": PositionEncoding}[plugin.kind]
    if not (isinstance(made, type) and issubclass(made, contract)):
        raise UserError(f"{plugin.file}: its class must be a subclass of {contract.__name__}")
    lacks = sorted(getattr(made, "__abstractmethods__", ()))
    if lacks:
        raise UserError(f"{plugin.file}: its class {made.__name__} must define {', '.join(lacks)}")
    return made


def _import(plugin: Plugin) -> ModuleType:
    try:
        if plugin.module:
            return importlib.import_module(plugin.module)
        name = _local_module(plugin)
        if name in sys.modules and sys.modules[name].__file__ == str(plugin.file):
            return sys.modules[name]
        spec = importlib.util.spec_from_file_location(name, plugin.file)
        if spec is None or spec.loader is None:
            raise ImportError(f"{plugin.file} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module
    except (Exception, SystemExit) as error:
        sys.modules.pop(_local_module(plugin), None)
        raise UserError(
            f"{plugin.kind} plugin '{plugin.name}' ({plugin.file}) cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error


def _local_module(plugin: Plugin) -> str:
    return f"vitladder_local_plugins.{plugin.kind}.{plugin.name}"
