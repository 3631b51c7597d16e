"""Who made a model: an Ed25519 signature over an artifact and its card, in a file of its own beside them (RFC 8032)."""

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from models.cards import ModelError, card_bytes, card_path

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_PURPOSE = b"muki model and card, 1\n"  # a signature made for something else with the same key must not do
_MAX_BYTES = 10_000


class BadSignature(ModelError):
    """The site demands a signature by a key that it trusts, and there is none, or it is not of these files."""


class BadKey(ModelError):
    """A file that is no Ed25519 key, or cannot be read or written."""


class TrustedKey(NamedTuple):
    """A public key, the file it came from, and the first 16 digits of its SHA-256."""

    path: Path
    id: str
    public: "Ed25519PublicKey"


def signature_path(artifact: Path) -> Path:
    """Where the signature of an artifact lies: beside it, same name, ``.sig``."""
    return artifact.with_suffix(".sig")


def make_keys(path: Path) -> TrustedKey:
    """Writes a secret key, readable by its owner only, and ``PATH.pub``. Returns the public one. Raises BadKey where a file is there already."""
    serialization, ed25519 = _library()
    secret = ed25519.Ed25519PrivateKey.generate()
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    _create(path, secret.private_bytes(pem, form, serialization.NoEncryption()), 0o600)
    public = path.with_name(f"{path.name}.pub")
    _create(public, secret.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo), 0o644)
    return _trusted(public, secret.public_key())


def read_public(path: Path) -> TrustedKey:
    """Raises BadKey where the file is no public Ed25519 key."""
    serialization, ed25519 = _library()
    try:
        found = serialization.load_pem_public_key(_content(path))
    except ValueError:
        found = None
    if not isinstance(found, ed25519.Ed25519PublicKey):
        raise BadKey(f"{path}: no public Ed25519 key in PEM; write the ….pub that muki models keygen made")
    return _trusted(path, found)


def sign(key: Path, artifact: Path) -> Path:
    """Signs an artifact and its card with the secret key; returns the signature's file. Raises BadKey and what reading the card raises."""
    serialization, ed25519 = _library()
    try:
        secret = serialization.load_pem_private_key(_content(key), password=None)
    except (ValueError, TypeError):  # TypeError: it is encrypted
        secret = None
    if not isinstance(secret, ed25519.Ed25519PrivateKey):
        raise BadKey(f"{key}: no secret Ed25519 key in PEM without a password; make one with muki models keygen")
    signature = secret.sign(_message(artifact.read_bytes(), card_bytes(card_path(artifact))))
    path = signature_path(artifact)
    path.write_text(f"ed25519 {_id(secret.public_key())} {base64.b64encode(signature).decode()}\n", "ascii")
    return path


def check(artifact: Path, content: bytes, card: bytes, keys: Sequence[TrustedKey]) -> None:
    """Raises BadSignature unless the file beside ``artifact`` holds a signature of these bytes by one of ``keys``."""
    from cryptography.exceptions import InvalidSignature

    path = signature_path(artifact)
    try:
        words = path.read_bytes()[:_MAX_BYTES].decode("ascii").split()
    except FileNotFoundError:
        raise BadSignature(f"{path}: there is none, and this site demands one: muki models sign KEY {artifact.stem}") from None
    except (OSError, UnicodeDecodeError):
        words = []
    try:
        kind, signer, text = words
        signature = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise BadSignature(f"{path}: is no signature; 'ed25519 KEY-ID BASE64' is one: muki models sign KEY {artifact.stem}") from None
    trusted = [key for key in keys if key.id == signer]
    if kind != "ed25519" or not trusted:
        known = ", ".join(f"{key.id} ({key.path})" for key in keys) or "none"
        raise BadSignature(f"{path}: signed by {kind} key {signer}, which this site does not trust; it trusts {known}")
    try:
        trusted[0].public.verify(signature, _message(content, card))
    except InvalidSignature:
        raise BadSignature(
            f"{path}: is not of this {artifact.name} and its card, though it names key {signer}: one of the three files was changed; "
            "install all three from the same release, or sign again"
        ) from None


def _message(content: bytes, card: bytes) -> bytes:
    return _PURPOSE + hashlib.sha256(content).digest() + hashlib.sha256(card).digest()


def _trusted(path: Path, public: "Ed25519PublicKey") -> TrustedKey:
    return TrustedKey(path, _id(public), public)


def _id(public: "Ed25519PublicKey") -> str:
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:16]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()[:_MAX_BYTES]
    except OSError as error:
        raise BadKey(f"{path}: cannot be read: {error.strerror}; a PEM file is needed") from None


def _create(path: Path, content: bytes, mode: int) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
            stream.write(content)
    except FileExistsError:
        raise BadKey(f"{path}: is there already, and a key is never overwritten; choose another name") from None
    except OSError as error:
        raise BadKey(f"{path}: cannot be written: {error.strerror}") from None


def _library() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ModuleNotFoundError:
        raise BadKey("signatures need the package cryptography: install the extra, pip install 'muki[edge]'") from None
    return serialization, ed25519
