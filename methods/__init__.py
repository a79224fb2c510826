"""How networks are trained not to use a shortcut, and how a prediction is explained."""

from .base import Mitigation, Terms, mitigations
from .own_loop import rrr_loss
from .units import from_published

__all__ = ["Mitigation", "Terms", "from_published", "mitigations", "rrr_loss"]
