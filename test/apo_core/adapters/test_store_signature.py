"""A store that asks for a signature takes what a trusted key has signed, and nothing else."""

from pathlib import Path

import pytest
from adapter_samples import CONFIG, MANIFEST, NOW, TENSORS, edit_manifest, flip_a_bit

from apo_core.adapters.signature import make_keys, read_trusted_keys
from apo_core.adapters.store import AdapterStore
from apo_core.adapters.trial import Trial
from apo_core.errors import AdapterError


def test_what_a_trusted_key_has_signed_is_read(store: AdapterStore, tmp_path: Path):
    key = make_keys(tmp_path / "key", tmp_path / "pub")
    trusting = AdapterStore(store.path, read_trusted_keys(tmp_path / "pub"))
    store.publish(TENSORS, CONFIG, MANIFEST, key=key)
    store.publish(TENSORS, CONFIG, MANIFEST)

    assert trusting.read(1)[0].number == 1
    assert trusting.manifest(1)["number"] == 1
    assert [store.signer(version) for version in (1, 2)] == [key.fingerprint, ""]
    with pytest.raises(AdapterError, match=r"adapter 2 in .* is rejected: it is not signed"):
        trusting.read(2)
    with pytest.raises(AdapterError, match="it is not signed"):
        trusting.promote(2, NOW)
    store.sign(2, key)
    assert trusting.read(2)[0].number == 2


def test_a_store_without_keys_reads_signed_adapters(store: AdapterStore, tmp_path: Path):
    store.publish(TENSORS, CONFIG, MANIFEST, key=make_keys(tmp_path / "key", tmp_path / "pub"))
    assert store.read(1)[0].number == 1


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: edit_manifest(folder, method="kto"), "does not belong to its manifest.json"),
        (lambda folder: flip_a_bit(folder), "does not have the sha256"),
        (lambda folder: (folder / "signature.json").unlink(), "it is not signed"),
        (lambda folder: (folder / "signature.json").write_bytes(bytes(5000)), "signature.json has 5000 bytes, at most"),
        (lambda folder: folder.rename(folder.with_name("000002")), "does not exist"),
    ],
)
def test_a_signed_adapter_that_was_changed_is_rejected(store: AdapterStore, tmp_path: Path, damage, message):
    store.publish(TENSORS, CONFIG, MANIFEST, key=make_keys(tmp_path / "key", tmp_path / "pub"))
    damage(store.path / "000001")
    with pytest.raises(AdapterError, match=message):
        AdapterStore(store.path, read_trusted_keys(tmp_path / "pub")).read(1)


def test_a_signed_adapter_cannot_take_another_number(store: AdapterStore, tmp_path: Path):
    store.publish(TENSORS, CONFIG, MANIFEST, key=make_keys(tmp_path / "key", tmp_path / "pub"))
    (store.path / "000001").rename(store.path / "000007")
    with pytest.raises(AdapterError, match="number = 1 does not match the folder 000007"):
        AdapterStore(store.path, read_trusted_keys(tmp_path / "pub")).read(7)


def test_a_damaged_adapter_is_not_signed(store: AdapterStore, published: Path, tmp_path: Path):
    flip_a_bit(published)
    with pytest.raises(AdapterError, match="does not have the sha256"):
        store.sign(1, make_keys(tmp_path / "key", tmp_path / "pub"))
    assert not (published / "signature.json").exists()


def test_a_promotion_is_followed_where_a_trusted_key_has_signed_it(store: AdapterStore, tmp_path: Path):
    key = make_keys(tmp_path / "key", tmp_path / "pub")
    trusting = AdapterStore(store.path, read_trusted_keys(tmp_path / "pub"))
    store.publish(TENSORS, CONFIG, MANIFEST, key=key)
    assert trusting.promotion().number == store.promotion().number == 1
    store.promote(0, NOW)
    with pytest.raises(AdapterError, match=r"current.json is rejected: it is not signed, .* with --key where robots"):
        trusting.promotion()
    AdapterStore(store.path, key=key).promote(1, NOW, "by hand")
    assert (trusting.promotion().number, trusting.promotion().reason) == (1, "by hand")
    AdapterStore(store.path, key=key).roll_back(NOW)
    assert trusting.promotion().number == 0
    changed = (store.path / "current.json").read_text().replace('"number": 0', '"number": 1')
    (store.path / "current.json").write_text(changed)
    with pytest.raises(AdapterError, match="does not belong to its content"):
        trusting.promotion()


def test_a_trial_is_read_where_a_trusted_key_has_signed_it(store: AdapterStore, published: Path, tmp_path: Path):
    key = make_keys(tmp_path / "key", tmp_path / "pub")
    trusting = AdapterStore(store.path, read_trusted_keys(tmp_path / "pub"), key)
    trusting.record_trial(Trial(1, 0))
    assert trusting.trial(1) == store.trial(1) == Trial(1, 0)
    store.record_trial(Trial(1, 0))
    with pytest.raises(AdapterError, match=r"000001.json is rejected: it is not signed"):
        trusting.trial(1)
