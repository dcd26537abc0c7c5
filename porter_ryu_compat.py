"""Makes Ryu 4.34 run on a current eventlet; imported at interpreter start by a .pth file.

ryu.app.wsgi imports `ALREADY_HANDLED` from eventlet.wsgi, which dropped it in 0.30.3; the name
is set when eventlet.wsgi is loaded.  And importing eventlet prints a notice that the project
looks for a way off it, which says nothing to somebody who runs this program: docs/architecture.md
does.  And ryu-manager loads in half of the time and with 9 MB less: without garbage collections and
setuptools (`_load_manager`), with the resolver of the C library in place of eventlet's
(`_load_green_socket`), and without packages that are imported and not used (`_LATER`).  Nothing is
imported here but what the interpreter has loaded anyway.
"""

import gc
import os
import sys
import warnings

_WSGI = "eventlet.wsgi"
_MANAGER = "ryu.cmd.manager"
_NO_RESOLVER = "EVENTLET_NO_GREENDNS"


class _Finder:
    """Finds some modules by the ordinary finders, and has them loaded in another way."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        """importlib's MetaPathFinder protocol."""
        if name == "eventlet":
            _silence()
            return None
        if name == _MANAGER:
            _green_first()
        load = _LOAD.get(name)
        if load is None:
            return None
        for finder in sys.meta_path:
            if finder is _Finder or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader, load)
                return spec
        return None


class _Loader:
    def __init__(self, loader, load):
        self._loader = loader
        self._load = load

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        self._load(self._loader, module)


def _load_wsgi(loader, module):
    loader.exec_module(module)
    if not hasattr(module, "ALREADY_HANDLED"):
        module.ALREADY_HANDLED = b""


def _load_manager(loader, module):
    """Without what takes a fifth of its time: garbage collections, and setuptools.  Ryu wants one
    class of distutils: where Python has that, setuptools would put its own in the place, and load
    120 modules for it."""
    shim = sys.modules.get("_distutils_hack")
    replaced = shim is not None and sys.version_info < (3, 12) and "distutils" not in sys.modules
    if replaced:
        shim.remove_shim()
    try:
        _load_uncollected(loader, module)
    finally:
        if replaced:
            shim.add_shim()
            for name in ("distutils.version", "distutils"):
                sys.modules.pop(name, None)  # whoever imports setuptools later would be warned


def _load_uncollected(loader, module):
    """All that is imported stays, so the garbage collector would look through it 250 times in
    vain."""
    gc.disable()
    try:
        loader.exec_module(module)
    finally:
        gc.enable()
        gc.freeze()


def _load_green_socket(loader, module):
    """Names are resolved by the C library in a thread, as every other program on this host does:
    eventlet's own resolver is dnspython, a quarter of what ryu-manager imports.  Whoever sets its
    variable gets what eventlet makes of that."""
    if _NO_RESOLVER in os.environ:
        loader.exec_module(module)
        return
    os.environ[_NO_RESOLVER] = "yes"  # the only way to tell eventlet
    try:
        loader.exec_module(module)
    finally:
        del os.environ[_NO_RESOLVER]
    from porter_ryu import name_lookup

    name_lookup.install(module)


class _Later:
    """Stands for a package, which is imported when something of it is first used."""

    __spec__ = None  # asked for by the import statement

    def __init__(self, name):
        self._name = name

    def __getattr__(self, attribute):
        import importlib

        return getattr(importlib.import_module(self._name), attribute)


def _load_with_later(loader, module):
    """What the module imports as `_LATER` says is not loaded now."""
    name = _LATER[module.__name__]
    if name in sys.modules:
        loader.exec_module(module)
        return
    sys.modules[name] = _Later(name)
    try:
        loader.exec_module(module)
    finally:
        del sys.modules[name]


# asyncio is for another hub than that of ryu-manager; the other checks the values of URI options,
# of which neither Ryu nor Porter-Ryu has any
_LATER = {"eventlet.patcher": "asyncio", "oslo_config.types": "rfc3986"}
_LOAD = {
    _WSGI: _load_wsgi,
    _MANAGER: _load_manager,
    "porter_ryu.app": _load_uncollected,
    "eventlet.green.socket": _load_green_socket,
    **dict.fromkeys(_LATER, _load_with_later),
}


def _silence():
    warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated", category=Warning)


def _green_first():
    """ryu-manager patches threads after it has imported half the world, and every lock made
    before that is reported as not greened: patched before it, there is none."""
    # what current Pythons think of Ryu's syntax is for its authors, not for who runs it
    warnings.filterwarnings("ignore", category=SyntaxWarning)
    import eventlet

    eventlet.monkey_patch()


def install():
    """Puts the finder in place, once."""
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
