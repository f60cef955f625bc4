"""Clients and channels that lie."""

from bofl_jax.attacks.options import AdversaryOptions
from bofl_jax.attacks.updates import Channel, channel

__all__ = ["AdversaryOptions", "Channel", "channel"]
