"""Standardisation and temperature, folded into the layers beside them."""

from dataclasses import replace

from emoji_lightning.checkpoint.stored_head import StoredHead


def fold(head: StoredHead) -> StoredHead:
    """Return a head that gives the same logits with less around its layers; the file that it came from is forgotten.

    W ((x - m) / s) + b = (W / s) x + (b - (W / s) m), computed in float64 and rounded once. A standardisation before a
    norm, or before a layer without bias, stays.
    """
    head = fold_temperature(head)
    standardization = head.standardization
    first = f"{head.architecture.places()[0, 'linear']}"
    if standardization is None or head.architecture.layers[0].norm_in or not head.architecture.layers[0].bias:
        return head
    weight = head.state_dict[f"{first}.weight"].double() / standardization.scale.double()
    bias = head.state_dict[f"{first}.bias"].double() - weight @ standardization.mean.double()
    state = head.state_dict | {f"{first}.weight": weight.float(), f"{first}.bias": bias.float()}
    return replace(head, state_dict=state, standardization=None)


def fold_temperature(head: StoredHead) -> StoredHead:
    """Return a head that gives the same logits without a temperature: what gives them is divided by it."""
    if head.temperature == 1.0:
        return replace(head, source=None)
    number, places = len(head.architecture.layers) - 1, head.architecture.places()
    place = places.get((number, "norm_out"), places[number, "linear"])
    divided = {
        name: (tensor.double() / head.temperature).float()
        for name, tensor in head.state_dict.items()
        if name in (f"{place}.weight", f"{place}.bias")
    }
    return replace(head, state_dict=head.state_dict | divided, temperature=1.0, source=None)
