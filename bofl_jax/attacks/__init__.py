"""What malicious clients and channels do."""

from bofl_jax.attacks.options import AdversaryOptions
from bofl_jax.attacks.updates import Channel, channel

__all__ = ["AdversaryOptions", "Channel", "channel"]
