"""ShortKit-ML's mitigations under their own names and arguments, without their known faults: `docs/shortkit.md`.

    from rrrbench.benchmark.compat.shortkit import ExplanationRegularization  # was: from shortcut_detect import ...

Written anew over rrrbench's own methods; no code of ShortKit-ML (`criticaldata/ShortKit-ML`, 0.1.0) is in here.
"""

from .adversarial_debiasing import AdversarialDebiasing
from .contrastive_debiasing import ContrastiveDebiasing
from .explanation_regularization import ExplanationRegularization
from .images import BackgroundRandomizer, ShortcutMasker
from .last_layer_retraining import LastLayerRetraining
from .probe import GroupStays

__all__ = [
    "AdversarialDebiasing",
    "BackgroundRandomizer",
    "ContrastiveDebiasing",
    "ExplanationRegularization",
    "GroupStays",
    "LastLayerRetraining",
    "ShortcutMasker",
]
