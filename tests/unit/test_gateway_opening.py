"""What the gateway says when it cannot open what it stands on."""

from pathlib import Path

import pytest

from contract.documents import Document
from gateway.config import read
from gateway.opening import CannotStart, open_parts


def test_a_damaged_journal_is_left_as_it_is_and_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("site: test\ndata_dir: .\n")
    config = read(Document(file))
    engine, store = open_parts(config)
    store.close()
    engine.dispose()
    journal = config.data_dir / "journal.db"
    for rest in config.data_dir.glob("journal.db-*"):
        rest.unlink()
    damaged = b"this was a journal once" * 1000
    journal.write_bytes(damaged)
    with pytest.raises(CannotStart, match=r"damaged; it was left as it is: restore a backup") as caught:
        open_parts(config)
    assert str(journal) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert journal.read_bytes() == damaged
