"""What a record says about the targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xaionnx.targets.chances import chances
from xaionnx.typing import Document

if TYPE_CHECKING:
    from xaionnx.targets.resolve import ResolvedTargets


def box_and_label_facts(resolved: ResolvedTargets, several: bool) -> Document:
    """Diagnostics about the targets: ``box``, the corners of the explained boxes, and ``label_disagrees``."""
    found: Document = {}
    each_term = {
        "box": [term.boxes for term in resolved.terms],
        "label_disagrees": [term.disagrees for term in resolved.terms],
    }
    for key, known in each_term.items():
        if any(array is not None and array.any() for array in known):
            each = [
                [None if array is None else array[n].tolist() for array in known] for n in range(len(resolved.names.T))
            ]
            found[key] = each if several else [one[0] for one in each]
    return found


def probabilities(resolved: ResolvedTargets, several: bool) -> Document:
    """Diagnostics on how sure the model is: ``probability`` of the class, and ``rival``, the highest other one."""
    each = [chances(resolved, t) for t in range(resolved.count)]
    if all(found is None for found in each):
        return {}
    count = resolved.values.shape[1]
    own = [[None] * count if found is None else found.probability.tolist() for found in each]
    rivals = [
        [*map(list, zip(found.rivals, found.rival_probability.tolist(), strict=True))]
        if found is not None and found.rivals
        else [None] * count
        for found in each
    ]
    if not several:
        return {"probability": own[0], "rival": rivals[0]}
    return {"probability": [*map(list, zip(*own, strict=True))], "rival": [*map(list, zip(*rivals, strict=True))]}


def quantity(resolved: ResolvedTargets) -> str | dict[str, str]:
    """The quantity of the targets, such as ``probability``; a mapping by name if they differ."""
    quantities = resolved.quantities
    if len(set(quantities)) == 1:
        return quantities[0]
    return {str(name): what for names, what in zip(resolved.names, quantities, strict=True) for name in names}
