"""A model runs where its site demands a signature only if a trusted key signed this artifact with this card; everything else says why."""

import base64
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from models.cards import ARTIFACTS
from models.cli import main
from models.runtime import BadSignature, HashMismatch, load
from models.signing import BadKey, TrustedKey, make_keys, read_public, sign, signature_path

NAME = "hydraulic_cooler"


def installed(folder: Path, name: str = NAME) -> Path:
    for suffix in (".onnx", ".json"):
        shutil.copy(ARTIFACTS / f"{name}{suffix}", folder)
    return folder / f"{name}.onnx"


def keys(folder: Path, name: str = "site") -> tuple[Path, TrustedKey]:
    path = folder / name
    return path, make_keys(path)


def test_a_signed_model_is_loaded_where_a_signature_is_demanded(tmp_path: Path) -> None:
    path = installed(tmp_path)
    secret, public = keys(tmp_path)
    _, other = keys(tmp_path, "other")
    sign(secret, path)
    assert load(path, keys=[other, public]).name == NAME
    assert load(path, keys=[read_public(public.path)]).name == NAME


def test_without_a_demand_nobody_looks_at_signatures(tmp_path: Path) -> None:
    path = installed(tmp_path)
    signature_path(path).write_text("garbage")
    assert load(path).name == NAME


def test_no_signature_a_strange_key_or_no_key_at_all_is_refused(tmp_path: Path) -> None:
    path = installed(tmp_path)
    secret, public = keys(tmp_path)
    _, other = keys(tmp_path, "other")
    with pytest.raises(BadSignature, match=rf"{NAME}\.sig: there is none, and this site demands one: muki models sign KEY {NAME}"):
        load(path, keys=[public])
    sign(secret, path)
    with pytest.raises(BadSignature, match=rf"signed by ed25519 key {public.id}, which this site does not trust; it trusts {other.id}"):
        load(path, keys=[other])
    with pytest.raises(BadSignature, match="it trusts none"):
        load(path, keys=[])


def test_a_changed_card_or_model_or_a_signature_of_another_model_is_refused(tmp_path: Path) -> None:
    path = installed(tmp_path)
    secret, public = keys(tmp_path)
    sign(secret, path)
    card_file = path.with_suffix(".json")
    card = json.loads(card_file.read_text())
    card["threshold"]["value"] = 0.01  # the hash of the artifact still fits
    card_file.write_text(json.dumps(card))
    with pytest.raises(BadSignature, match="one of the three files was changed"):
        load(path, keys=[public])
    sign(secret, path)
    load(path, keys=[public])
    other = installed(tmp_path, "bearing_life")
    sign(secret, other)
    shutil.copy(signature_path(other), signature_path(path))
    with pytest.raises(BadSignature, match="one of the three files was changed"):
        load(path, keys=[public])
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(HashMismatch):
        load(path, keys=[public])


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b"ed25519",
        b"ed25519 {id} !!!!",
        b"ed25519 {id} AAAA",
        b"rsa {id} AAAA",
        b"rsa {id} {whole}",
        b"{good} more",
        b"ed25519 {id} {cut}",
        b"\0" * 99_999,
    ],
)
def test_what_is_no_signature_is_refused(tmp_path: Path, text: bytes) -> None:
    path = installed(tmp_path)
    secret, public = keys(tmp_path)
    good = sign(secret, path).read_bytes()
    cut = base64.b64encode(base64.b64decode(good.split()[2])[:-1])
    filled = (
        text.replace(b"{id}", public.id.encode())
        .replace(b"{good}", good.strip())
        .replace(b"{cut}", cut)
        .replace(b"{whole}", good.split()[2])
    )
    signature_path(path).write_bytes(filled)
    with pytest.raises(BadSignature, match=rf"{NAME}\.sig: "):
        load(path, keys=[public])


def test_every_bit_of_a_signature_counts(tmp_path: Path) -> None:
    path = installed(tmp_path)
    secret, public = keys(tmp_path)
    kind, signer, text = sign(secret, path).read_text().split()
    signature = base64.b64decode(text)
    for place in range(0, len(signature), 7):
        changed = bytearray(signature)
        changed[place] ^= 1 << place % 8
        signature_path(path).write_text(f"{kind} {signer} {base64.b64encode(changed).decode()}")
        with pytest.raises(BadSignature):
            load(path, keys=[public])


def test_keys_are_private_and_never_overwritten_and_told_apart(tmp_path: Path) -> None:
    secret, public = keys(tmp_path)
    assert secret.stat().st_mode & 0o077 == 0
    with pytest.raises(BadKey, match="never overwritten"):
        make_keys(secret)
    with pytest.raises(BadKey, match="no public Ed25519 key"):
        read_public(secret)
    with pytest.raises(BadKey, match="no secret Ed25519 key"):
        sign(public.path, installed(tmp_path))
    with pytest.raises(BadKey, match=r"gone\.pub: cannot be read"):
        read_public(tmp_path / "gone.pub")


def test_the_commands_make_keys_sign_and_verify(tmp_path: Path) -> None:
    path, key = installed(tmp_path), tmp_path / "site"
    run = CliRunner()
    assert run.invoke(main, ["keygen", str(key)]).exit_code == 0
    refused = run.invoke(main, ["verify", str(path), "--key", f"{key}.pub"])
    assert refused.exit_code == 1
    assert "there is none, and this site demands one" in refused.output
    assert run.invoke(main, ["sign", str(key), str(path)]).exit_code == 0
    verified = run.invoke(main, ["verify", str(path), "--key", f"{key}.pub"])
    assert (verified.exit_code, "card, SHA-256, signature and run are right" in verified.output) == (0, True)
    again = run.invoke(main, ["keygen", str(key)])
    assert again.exit_code == 1
    assert "never overwritten" in again.output
    path.write_bytes(path.read_bytes() + b"\0")
    wrong = run.invoke(main, ["sign", str(key), str(path)])
    assert wrong.exit_code == 1  # what does not fit its card is not signed
    assert "SHA-256" in wrong.output
