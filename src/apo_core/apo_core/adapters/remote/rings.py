"""The pointers of a store: which change of the promotion each ring of robots follows.

The canary ring never lags behind the fleet: a push to the fleet changes the canary first, and a release gives the fleet
what the canary has.
"""

from __future__ import annotations

from functools import partial

from apo_core.adapters.manifest import policy_name
from apo_core.adapters.promotion import Promotion, parse_promotion
from apo_core.adapters.remote.store import CANARY, FLEET, RemoteAdapters
from apo_core.errors import AdapterError
from apo_core.remote.patience import Patience


def read_ring(store: RemoteAdapters, ring: str, patience: Patience) -> tuple[bytes, Promotion] | None:
    """The pointer of a ring and what it holds, with any signature or none; None before its first promotion.

    Raises:
        AdapterError: it is damaged.
        RemoteError: the store fails for longer than the patience.
    """
    pointer = patience.call(partial(store.ring, ring))
    try:
        return None if pointer is None else (pointer, parse_promotion(pointer))
    except (AdapterError, RecursionError) as error:
        raise AdapterError(f"{store.url}: the pointer of ring {ring} is rejected: {error}") from None


def move_ring(store: RemoteAdapters, ring: str, pointer: bytes, patience: Patience) -> bool:
    """Gives a ring a newer promotion; the caller knows that the store has its adapter.

    Returns:
        Whether it is newer than the ring's; False: the ring has this one.

    Raises:
        AdapterError: the ring has a newer one, or another change of the same number.
        RemoteError: the store fails for longer than the patience.
    """
    promotion, there = parse_promotion(pointer), read_ring(store, ring, patience)
    before = Promotion() if there is None else there[1]
    try:
        if not promotion.replaces(before):
            if promotion == before:
                return False
            raise AdapterError(
                f"has change {before.sequence} to {policy_name(before.number)}, which is newer than change "
                f"{promotion.sequence} to {policy_name(promotion.number)}: pull it first, then promote"
            )
    except AdapterError as error:
        raise AdapterError(f"{store.url}: ring {ring}: {error}") from None
    patience.call(partial(store.put_ring, ring, pointer))
    return True


def release(store: RemoteAdapters, version: int, patience: Patience) -> Promotion | None:
    """Gives the fleet what the canary has.

    Args:
        store: with both rings.
        version: that the canary must have: what was looked at is what is released.
        patience: how long an access to the store is tried again.

    Returns:
        What the fleet has now; None: it had this before.

    Raises:
        AdapterError: the canary has another version or none, the store lacks its adapter, or the fleet has a newer one.
        RemoteError: the store fails for longer than the patience.
    """
    there = read_ring(store, CANARY, patience)
    if there is None:
        raise AdapterError(f"{store.url}: ring {CANARY} has no promotion yet: apo adapters push --ring {CANARY}")
    pointer, promotion = there
    if promotion.number != version:
        raise AdapterError(
            f"{store.url}: ring {CANARY} has {policy_name(promotion.number)}, not {policy_name(version)}"
        )
    if version != 0 and patience.call(partial(store.record, version)) is None:
        raise AdapterError(f"{store.url}: has no adapter {version}")
    return promotion if move_ring(store, FLEET, pointer, patience) else None
