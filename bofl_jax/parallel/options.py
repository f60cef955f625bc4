"""Options of the engine: how clients are executed."""

from typing import Literal

from pydantic import Field

from bofl_jax.core.options import Options

Execution = Literal["auto", "vmap", "map", "shard", "loop"]


class EngineOptions(Options):
    """How clients run. A run keeps the resolved values, because another width rounds differently."""

    uncompiled_fields = ("checkpoint_every", "sweep")

    execution: Execution = "auto"
    width: int = Field(0, ge=0, description="clients vmapped at a time within map and shard; 0 chooses")
    devices: int = Field(0, ge=0, description="devices of execution = 'shard'; 0 takes as many as possible")
    blocks: int = Field(8, ge=1, le=1024, description="fixed blocks of clients whose sums are added in order")
    checkpoint_every: int = Field(10, ge=1, description="rounds between checkpoints")
    sweep: Literal["together", "sequential"] = Field(
        "together", description="members of a sweep: those of one shape in one program, or one after another"
    )
