import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
from safetensors.torch import save_file

from pixel_lora_pipeline.validate.base_model import BaseModelError, load_base_model
from pixel_lora_pipeline.validate.generate import Generator, ImageRequest
from pixel_lora_pipeline_tests.validate import tiny_diffusion

REQUEST = ImageRequest("portrait", "red hair", "", seed=1, width=16, height=16, steps=2, guidance=2.0)


class Connections:
    """Addresses that this process connected to while `watching`, as Python's audit events tell them."""

    def __init__(self) -> None:
        self.watching = False
        self.seen: list[str] = []
        sys.addaudithook(self._hear)  # cannot be removed again, hence one for the session, and the flag

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.watching and event in {"socket.connect", "socket.getaddrinfo"}:
            self.seen.append(f"{event} {arguments}")


@pytest.fixture(scope="session")
def all_connections() -> Connections:
    return Connections()


@pytest.fixture
def connections(all_connections: Connections, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connections]:
    # Looked up at the hub once a process; forgotten, so that every test sees what a fresh process would do.
    monkeypatch.setattr("huggingface_hub.utils._detect_agent._registry", None)
    all_connections.seen.clear()
    all_connections.watching = True
    yield all_connections
    all_connections.watching = False


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    return cache


def configuration_of(folder: Path, destination: Path) -> Path:
    return Path(shutil.copytree(folder, destination, ignore=shutil.ignore_patterns("*.safetensors")))


def test_a_single_file_paints_exactly_what_its_folder_paints(
    base_folder: Path, tmp_path: Path, connections: Connections
) -> None:
    folder = Generator(base_folder)
    single = Generator(tiny_diffusion.single_file(folder.base.pipeline, tmp_path / "model.safetensors"))
    configuration_of(base_folder, tmp_path / "model")
    assert single.base.sha256 == folder.base.sha256
    [of_folder], [of_file] = folder.generate(None, [REQUEST]), single.generate(None, [REQUEST])
    assert of_file.png == of_folder.png
    assert of_file.fingerprint_hash == of_folder.fingerprint_hash
    assert connections.seen == []


@pytest.mark.usefixtures("hub_cache")
def test_a_single_file_without_configuration_stays_offline_and_says_what_to_do(
    base_folder: Path, tmp_path: Path, connections: Connections
) -> None:
    path = tiny_diffusion.single_file(load_base_model(base_folder).pipeline, tmp_path / "model.safetensors")
    with pytest.raises(BaseModelError, match=r"allow_downloads = true.*beside the file as 'model/'"):
        load_base_model(path)
    assert connections.seen == []


def test_the_kind_of_pipeline_follows_from_the_model(xl_folder: Path) -> None:
    generator = Generator(xl_folder)
    assert type(generator.base.pipeline).__name__ == "StableDiffusionXLPipeline"
    [image] = generator.generate(None, [REQUEST])
    assert image.fault is None


def test_a_hub_name_is_read_from_the_cache_without_the_network(
    base_folder: Path, hub_cache: Path, connections: Connections
) -> None:
    repository = hub_cache / "models--somebody--portraits"
    shutil.copytree(base_folder, repository / "snapshots" / "0123abcd")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abcd")
    assert load_base_model("somebody/portraits").sha256 == load_base_model(base_folder).sha256
    assert connections.seen == []


@pytest.mark.usefixtures("hub_cache")
def test_a_hub_name_that_is_not_cached_stays_offline_and_says_how_to_allow_it(
    connections: Connections,
) -> None:
    with pytest.raises(BaseModelError, match=r"somebody/portraits.*PIXEL_LORA_ALLOW_DOWNLOADS=true"):
        load_base_model("somebody/portraits")
    assert connections.seen == []


def test_a_safety_checker_that_would_blacken_images_is_not_even_read(base_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(base_folder, tmp_path / "guarded"))
    index = json.loads((folder / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index["feature_extractor"] = ["transformers", "CLIPImageProcessor"]
    index["requires_safety_checker"] = True
    (folder / "model_index.json").write_text(json.dumps(index))
    assert load_base_model(folder).pipeline.safety_checker is None


def test_pickled_weights_are_never_read(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match=r"safetensors"):
        load_base_model(tiny_diffusion.stable_diffusion(tmp_path / "pickled", unsafe=True))
    (tmp_path / "model.ckpt").write_bytes(b"\x80\x04}.")
    with pytest.raises(BaseModelError, match=r"pickles.*\.safetensors version"):
        load_base_model(tmp_path / "model.ckpt")


def test_damaged_weights_are_reported_with_the_model_and_a_remedy(base_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(base_folder, tmp_path / "damaged"))
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(BaseModelError, match=r"damaged: it does not load: .*fetch it again"):
        load_base_model(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "no model_index.json"),
        ({"model_index.json": '{"_class_name": "FluxPipeline"}'}, "FluxPipeline, which is not supported"),
        ({"model_index.json": "[not json"}, "does not load"),
    ],
)
def test_a_folder_that_is_no_stable_diffusion_is_refused(tmp_path: Path, content: dict[str, str], message: str) -> None:
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(BaseModelError, match=message):
        load_base_model(tmp_path)


def test_a_lora_given_as_base_model_is_refused(base_folder: Path, tmp_path: Path) -> None:
    weights = tiny_diffusion.kohya_weights(load_base_model(base_folder).pipeline)
    save_file(weights, tmp_path / "lora.safetensors")
    with pytest.raises(BaseModelError, match="no text encoder"):
        load_base_model(tmp_path / "lora.safetensors")


def test_painting_a_local_checkpoint_never_uses_the_network(
    base_folder: Path, tmp_path: Path, connections: Connections
) -> None:
    generator = Generator(base_folder)
    save_file(tiny_diffusion.kohya_weights(generator.base.pipeline), tmp_path / "lora.safetensors")
    assert len(list(generator.generate(tmp_path / "lora.safetensors", [REQUEST]))) == 1
    assert connections.seen == []


def test_a_path_that_does_not_exist_is_not_taken_for_a_hub_name(connections: Connections) -> None:
    with pytest.raises(BaseModelError, match="no such folder or file"):
        load_base_model("/models/that/are/not/there", allow_downloads=True)
    assert connections.seen == []


def test_loading_leaves_the_terminal_clean(base_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from diffusers.utils import logging as diffusers_logging

    load_base_model(base_folder)
    assert "".join(capfd.readouterr()) == ""
    assert diffusers_logging.is_progress_bar_enabled(), "other users of diffusers keep their progress bars"


def test_the_hash_tells_models_apart_and_ignores_where_they_lie(base_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(base_folder, tmp_path / "elsewhere"))
    other = tiny_diffusion.stable_diffusion(tmp_path / "other", seed=1)
    hashes = [load_base_model(folder).sha256 for folder in (base_folder, copy, other)]
    assert hashes[0] == hashes[1]
    assert hashes[0] != hashes[2]
