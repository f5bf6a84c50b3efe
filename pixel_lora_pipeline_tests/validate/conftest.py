from pathlib import Path

import pytest

from pixel_lora_pipeline_tests.validate import tiny_diffusion


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion 1.x pipeline folder with random weights; images of 16×16 and up."""
    return tiny_diffusion.stable_diffusion(tmp_path_factory.mktemp("base") / "tiny_sd")


@pytest.fixture(scope="session")
def xl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion XL pipeline folder with random weights."""
    return tiny_diffusion.stable_diffusion_xl(tmp_path_factory.mktemp("base") / "tiny_sdxl")
