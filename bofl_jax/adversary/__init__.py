"""Clients and channels that lie."""

from bofl_jax.adversary.channel import Channel, channel
from bofl_jax.adversary.options import AdversaryOptions

__all__ = ["AdversaryOptions", "Channel", "channel"]
