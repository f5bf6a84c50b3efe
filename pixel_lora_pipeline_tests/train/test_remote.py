"""Checkpoints that lie elsewhere come here whole, once, and whatever else happens."""

import json
import os
import shutil
import threading
from pathlib import Path
from uuid import uuid4

import fsspec
import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem
from safetensors.numpy import save

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.launch import child_environment
from pixel_lora_pipeline.train import find_checkpoints, find_landings
from pixel_lora_pipeline.train.remote import Fetching, Mirrored, RemoteError, UnderWay, mirror, put_file
from pixel_lora_pipeline.train.remote.mirroring import RECORD
from pixel_lora_pipeline_tests.train.lora_files import KOHYA_SAMPLES

GENUINE = sorted((KOHYA_SAMPLES / "run_a").glob("*.safetensors"))


@pytest.fixture
def there(tmp_path: Path) -> Path:
    folder = tmp_path / "there" / "run"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path / "here"


def look(there: Path, here: Path) -> Mirrored:
    return mirror(f"file://{there}", here)


def test_a_run_comes_with_what_lies_beside_it_and_nothing_else(there: Path, here: Path) -> None:
    shutil.copytree(KOHYA_SAMPLES / "run_a", there, dirs_exist_ok=True)
    (there / "config.toml").write_text("network_dim = 4")
    log = there / "logs" / "20250615" / "network_train" / "events.out.tfevents.1750000000.pod.1.0"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"loss")
    for unwanted in ("run_a-000001-state/model.safetensors", "sample/a.png", "a.ckpt", ".hidden.safetensors"):
        (there / unwanted).parent.mkdir(exist_ok=True)
        shutil.copy(GENUINE[0], there / unwanted)
    found = look(there, here)
    assert {path.name for path in found.fetched} >= {"config.toml", log.name, *(path.name for path in GENUINE)}
    assert found.waiting == {".hidden.safetensors": "it has a name that no file here can have"}
    here_now = {str(path.relative_to(here)) for path in here.rglob("*") if path.is_file()}
    assert not {name for name in here_now if "state" in name or "sample" in name or ".ckpt" in name}
    landed = find_landings([here], set(), now=0.0)
    assert [landing.checkpoint.epoch for landing in landed.complete] == [1, 2, 3]
    assert all((here / path.name).read_bytes() == path.read_bytes() for path in GENUINE)


def test_nothing_is_fetched_twice_unless_it_changes_or_is_missing(there: Path, here: Path) -> None:
    for path in GENUINE:
        shutil.copy(path, there)
    assert len(look(there, here).fetched) == 3
    inodes = {path: path.stat().st_ino for path in here.glob("*.safetensors")}
    again = look(there, here)
    assert (again.fetched, again.n_here) == ((), 3)
    assert inodes == {path: path.stat().st_ino for path in here.glob("*.safetensors")}
    shutil.copy(GENUINE[1], there / GENUINE[0].name)
    (here / GENUINE[2].name).unlink()
    assert {path.name for path in look(there, here).fetched} == {GENUINE[0].name, GENUINE[2].name}
    (here / RECORD).write_text("{broken")
    assert len(look(there, here).fetched) == 3


def test_what_is_deleted_there_stays_here(there: Path, here: Path) -> None:
    shutil.copy(GENUINE[0], there)
    look(there, here)
    (there / GENUINE[0].name).unlink()
    assert look(there, here).n_here == 0
    assert (here / GENUINE[0].name).is_file()


def test_a_half_written_checkpoint_is_not_taken_until_it_is_whole(there: Path, here: Path) -> None:
    whole = GENUINE[0].read_bytes()
    target = there / GENUINE[0].name
    for share in (0.0, 0.01, 0.5, 0.99):
        target.write_bytes(whole[: int(len(whole) * share)])
        found = look(there, here)
        assert list(found.waiting) == [target.name]
        assert find_checkpoints([here]) == []
    target.write_bytes(whole)
    assert [path.read_bytes() for path in look(there, here).fetched] == [whole]


def test_an_incomplete_file_is_not_copied_again_and_again(
    there: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (there / GENUINE[0].name).write_bytes(GENUINE[0].read_bytes()[:-1])
    look(there, here)
    monkeypatch.setattr(LocalFileSystem, "_open", None)
    assert "still being written" in look(there, here).waiting[GENUINE[0].name]


def test_a_file_that_changes_while_it_is_copied_is_not_taken(
    there: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = there / GENUINE[0].name
    shutil.copy(GENUINE[0], target)
    opens = LocalFileSystem._open

    def open_and_meddle(*args: object, **kwargs: object) -> object:
        opened = opens(*args, **kwargs)
        replacement = there / "new"
        shutil.copy(GENUINE[1], replacement)
        replacement.replace(target)
        return opened

    with monkeypatch.context() as patched:
        patched.setattr(LocalFileSystem, "_open", open_and_meddle)
        assert look(there, here).waiting == {target.name: "it was written while it was copied"}
    assert find_checkpoints([here]) == []
    look(there, here)
    assert (here / target.name).read_bytes() == GENUINE[1].read_bytes()


def test_weights_that_contradict_their_own_hash_are_copied_twice_before_they_are_believed(
    there: Path, here: Path
) -> None:
    content = bytearray(GENUINE[0].read_bytes())
    content[-100] ^= 1
    (there / "run.safetensors").write_bytes(content)
    assert "do not agree with its header" in look(there, here).waiting["run.safetensors"]
    assert find_checkpoints([here]) == []
    assert [path.read_bytes() for path in look(there, here).fetched] == [content]


def test_what_no_waiting_mends_is_handed_to_the_watch(there: Path, here: Path) -> None:
    (there / "evil.safetensors").write_bytes(b"PK\x03\x04" + b"x" * 2000)
    assert [path.name for path in look(there, here).fetched] == ["evil.safetensors"]
    assert "pickle" in find_landings([here], set(), now=0.0).refused[0].fault


@pytest.mark.parametrize("name", ["../out.safetensors", "a/../../out.safetensors", "a\nb.safetensors", "a:b.toml"])
def test_no_name_leads_out_of_the_folder(here: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = f"/{uuid4().hex}"
    memory = fsspec.filesystem("memory")
    memory.pipe_file(f"{root}/good.safetensors", GENUINE[0].read_bytes())
    listed = [{"name": f"{root}/{name}", "size": 3, "type": "file", "created": 1}, *memory.ls(root, detail=True)]
    monkeypatch.setattr(type(memory), "ls", lambda *_, **__: listed)
    found = mirror(f"memory:/{root}", here)
    assert [path.name for path in found.fetched] == ["good.safetensors"]
    assert found.waiting == {name: "it has a name that no file here can have"}
    assert {path.name for path in here.parent.iterdir()} == {"here"}


def test_a_store_without_folders_works_as_well(here: Path) -> None:
    url = f"memory://{uuid4().hex}/runs"
    assert mirror(url, here) == Mirrored((), {}, 0), "a place where nothing was saved yet is no fault"
    put_file(url, "a/config.toml", b"network_dim = 4")
    fsspec.filesystem("memory").pipe_file(f"{url}/a/{GENUINE[0].name}", GENUINE[0].read_bytes())
    assert [path.relative_to(here).as_posix() for path in mirror(url, here).fetched] == [
        "a/config.toml",
        f"a/{GENUINE[0].name}",
    ]
    assert mirror(url, here).fetched == ()


def test_a_file_that_may_not_be_read_holds_up_no_other(
    there: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in GENUINE:
        shutil.copy(path, there)
    opens = LocalFileSystem._open

    def refuse_the_first(self: LocalFileSystem, path: str, *args: object, **kwargs: object) -> object:
        if path.endswith(GENUINE[0].name):
            raise PermissionError(13, "Access Denied")
        return opens(self, path, *args, **kwargs)

    monkeypatch.setattr(LocalFileSystem, "_open", refuse_the_first)
    found = look(there, here)
    assert "Access Denied" in found.waiting[GENUINE[0].name]
    assert len(found.fetched) == 2


def test_a_place_that_cannot_be_used_says_why(here: Path) -> None:
    for url, why in (("nowhere://bucket/runs", "nowhere"), ("s3://bucket/runs", "s3fs")):
        if url.startswith("s3") and _has_s3():
            continue
        with pytest.raises(RemoteError, match=why):
            mirror(url, here)


def _has_s3() -> bool:
    try:
        import s3fs  # noqa: F401
    except ImportError:
        return False
    return True


def test_a_slow_place_holds_up_no_other_and_is_not_asked_twice(
    there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(GENUINE[0], there)
    slow = tmp_path / "slow"
    slow.mkdir()
    go_on, lists = threading.Event(), []
    lists_really = LocalFileSystem.ls

    def ls(self: LocalFileSystem, path: str, **kwargs: object) -> object:
        if path == str(slow):
            lists.append(path)
            go_on.wait(20)
            raise ConnectionError("no route to host")
        return lists_really(self, path, **kwargs)

    monkeypatch.setattr(LocalFileSystem, "ls", ls)
    places = {f"file://{slow}": tmp_path / "a", f"file://{there}": tmp_path / "b"}
    fetching = Fetching()
    first = fetching.look(places, 0.3)
    assert isinstance(first[f"file://{slow}"], UnderWay)
    quick = first[f"file://{there}"]
    assert isinstance(quick, Mirrored) and len(quick.fetched) == 1
    assert isinstance(fetching.look(places, 0.05)[f"file://{slow}"], UnderWay)
    go_on.set()
    told = fetching.look(places, 10)[f"file://{slow}"]
    assert isinstance(told, RemoteError) and "no route to host" in str(told)
    assert len(lists) == 1


def test_a_full_disk_here_leaves_nothing_half(there: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(GENUINE[0], there)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pixel_lora_pipeline.train.remote.mirroring.finish_whole", full)
    with pytest.raises(RemoteError, match="No space left on device"):
        look(there, here)
    assert [path for path in here.rglob("*") if path.is_file()] == []


def test_the_hash_of_other_networks_is_not_kohyas(there: Path, here: Path) -> None:
    metadata = {"sshs_model_hash": "0" * 64, "ss_network_module": "lycoris.kohya", "padding": "x" * 1500}
    weights = {"lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": np.ones((4, 64), np.float32)}
    (there / "lokr.safetensors").write_bytes(save(weights, metadata))
    assert [path.name for path in look(there, here).fetched] == ["lokr.safetensors"]


def test_the_record_is_readable(there: Path, here: Path) -> None:
    shutil.copy(GENUINE[0], there)
    look(there, here)
    record = json.loads((here / RECORD).read_text())
    assert record[GENUINE[0].name]["size"] == os.path.getsize(GENUINE[0])  # noqa: PTH202


def test_an_address_with_a_secret_in_it_is_refused_and_not_shown(tmp_path: Path) -> None:
    for address in ("sftp://me:CANARY@host/runs", "https://host/runs?X-Amz-Signature=CANARY"):
        for setting in ({"watched": [address]}, {"runpod": {"checkpoints_url": address}}):
            with pytest.raises(ValueError, match="may hold no password") as caught:
                Settings(home=tmp_path, **setting)
            assert "CANARY" not in str(caught.value)


def test_places_elsewhere_have_folders_of_their_own_here(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path, watched=["s3://bucket/runs/", "s3://bucket/Runs", "gs://bucket/runs", tmp_path / "a"]
    )
    folders = list(settings.watched_urls.values())
    assert len({folder.name.lower() for folder in folders}) == 3
    assert all(folder.parent == tmp_path / "remote" for folder in folders)
    assert settings.watched_folders == [tmp_path / "a", *folders]
    told = json.loads(child_environment(settings, "postgresql://host/db", settings.watched)["PIXEL_LORA_WATCHED"])
    assert told == ["s3://bucket/runs", "s3://bucket/Runs", "gs://bucket/runs", str(tmp_path / "a")]
