"""Signed heads: a key of the store's own says that a tape had this head at this time.

Ed25519 by the package `cryptography`; without it nothing is signed. The key is made at the first
recording and never leaves its store; who is given a run needs its public half, which each signature
names, from a place that can be trusted.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from functools import cache
from typing import TYPE_CHECKING, Any

from ..errors import EbbError
from .bundle import Signature, signed_message
from .tape import TapeDamaged

if TYPE_CHECKING:
    from .store import RunStore
    from .tape import TapeWriter

EVERY_S = 60.0


class SigningMissing(EbbError):
    """The package that signs is not installed."""


@cache
def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise SigningMissing(
            "signatures need the package cryptography: pip install 'ebbtide[sign]'"
        ) from None
    return ed25519


class Signer:
    """Signs the heads of tapes with a store's key."""

    def __init__(self, key: Any) -> None:
        self._key = key
        self._last = time.monotonic()
        self.public: bytes = key.public_key().public_bytes_raw()

    @staticmethod
    def of(store: RunStore) -> Signer | None:
        """Return the store's, whose key is made if there is none; None if nothing can sign."""
        try:
            private = _ed25519().Ed25519PrivateKey
        except SigningMissing:
            return None
        path = store.root / "key"
        if not path.exists():
            with tempfile.NamedTemporaryFile(dir=store.root) as file:  # whole, and ours alone
                file.write(private.generate().private_bytes_raw())
                file.flush()
                with contextlib.suppress(FileExistsError):
                    os.link(file.name, path)
        return Signer(private.from_private_bytes(path.read_bytes()))

    def due(self) -> bool:
        """Tell whether the last signature is old."""
        return time.monotonic() - self._last >= EVERY_S

    def sign(self, run_id: str, tape: TapeWriter) -> Signature:
        """Sign all that is written."""
        self._last = time.monotonic()
        unsigned = Signature(tape.leaves, tape.count, tape.head, time.time(), self.public, b"")
        return unsigned.with_signature(self._key.sign(signed_message(run_id, unsigned)))


def check(run_id: str, one: Signature) -> None:
    """Raise TapeDamaged if the signature is not that of its key."""
    from cryptography.exceptions import InvalidSignature

    public = _ed25519().Ed25519PublicKey.from_public_bytes(one.key)
    try:
        public.verify(one.signature, signed_message(run_id, one))
    except InvalidSignature:
        raise TapeDamaged(
            f"the signature after leaf {one.leaves - 1} is not that of its key"
        ) from None


def public_key(store: RunStore) -> bytes | None:
    """Return a store's public key, if it has one."""
    if not (store.root / "key").exists():
        return None
    signer = Signer.of(store)
    if signer is None:
        _ed25519()  # says what is missing
        return None
    return signer.public
