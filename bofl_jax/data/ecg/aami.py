"""Beat annotations: the WFDB symbols that mark a beat, and their classes after ANSI/AAMI EC57."""

BEAT_SYMBOLS = frozenset("NLRBAaJSVrFejnE/fQ?")
"""WFDB annotation symbols that mark a beat; all other symbols mark a rhythm, noise or a flutter wave."""

CLASSES: tuple[str, ...] = ("N", "S", "V", "F", "Q")
"""Normal, supraventricular, ventricular, fusion, and paced or unknown beats."""

AAMI: dict[str, tuple[str, ...]] = {
    "N": ("N", "L", "R", "e", "j"),
    "S": ("A", "a", "J", "S"),
    "V": ("V", "E"),
    "F": ("F",),
    "Q": ("/", "f", "Q"),
}
"""Beat symbols of each class. Some authors count ``e`` and ``j`` as S, therefore the map is an option."""
