"""Hydra finds this package's configurations once `sam2` is imported, as with the released package: `compose(config_name=...)`.

Hydra is not imported for it, nothing is read before it is asked for, and a program's own `initialize` takes precedence,
before and after.
"""

import importlib.util
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def offer_configs() -> None:
    """Offer the package's configurations to Hydra, now or when somebody imports it."""
    if "hydra" in sys.modules:
        _offer()
    else:
        sys.meta_path.insert(0, _Arrival())


class _Arrival(MetaPathFinder):
    """Waits for somebody to import Hydra."""

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "hydra":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def load_and_offer(module: ModuleType) -> None:
            load(module)
            _offer()

        spec.loader.exec_module = load_and_offer
        return spec


def _offer() -> None:
    try:
        from hydra import initialize_config_module, version
        from hydra.core.global_hydra import GlobalHydra
        from hydra.core.singleton import Singleton
    except ImportError:     # half imported, or another package of that name
        return
    if GlobalHydra in Singleton._instances and GlobalHydra.instance().is_initialized():
        return

    class Offered(GlobalHydra):
        """Hydra's global state that has this package's configurations until a program brings its own."""

        offered = True
        made: Any = None

        @property
        def hydra(self) -> Any:
            if self.offered and self.made is None:
                self.offered, base = False, version.getbase()
                spoken = f"{base.major}.{base.minor}" if hasattr(base, "major") else "1.2"
                initialize_config_module("sam2", version_base=spoken)
                self.offered = True
            return self.made

        @hydra.setter
        def hydra(self, made: Any) -> None:
            self.made = made

        def is_initialized(self) -> bool:
            return self.offered or self.made is not None

        def initialize(self, hydra: Any) -> None:
            if self.offered:
                self.clear()
            super().initialize(hydra)

        def clear(self) -> None:
            self.offered, self.made = False, None

    Singleton._instances[GlobalHydra] = object.__new__(Offered)
