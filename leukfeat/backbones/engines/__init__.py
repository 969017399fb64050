"""How a forward pass runs. Features of fp32 engines agree within a tested tolerance; one engine repeats itself."""

from leukfeat.backbones.engines.choice import open_engine
from leukfeat.backbones.engines.device import DEVICES, choose_device
from leukfeat.backbones.engines.protocol import Engine
from leukfeat.backbones.engines.table import ENGINES, EngineSpec

__all__ = ["DEVICES", "ENGINES", "Engine", "EngineSpec", "choose_device", "open_engine"]
