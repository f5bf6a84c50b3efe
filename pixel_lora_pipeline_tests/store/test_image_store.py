import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pixel_lora_pipeline.store import ImageStore, ImageStoreError
from pixel_lora_pipeline_tests.store.test_images import a_png


def test_an_image_is_named_by_its_content_and_kept_once(tmp_path: Path) -> None:
    files = ImageStore(tmp_path / "images")
    png = a_png()
    sha256 = files.put(png)
    assert sha256 == hashlib.sha256(png).hexdigest()
    assert files.path(sha256) == tmp_path / "images" / sha256[:2] / f"{sha256}.png"
    assert files.put(png) == sha256
    assert files.read(sha256) == png
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [files.path(sha256)]


def test_many_writers_of_the_same_images_leave_each_once_and_whole(tmp_path: Path) -> None:
    files = ImageStore(tmp_path)
    images = [a_png(f"#{n:02x}0000") for n in range(8)]
    with ThreadPoolExecutor(16) as pool:
        names = list(pool.map(files.put, images * 8))
    assert len(set(names)) == 8
    assert sorted(path.stem for path in tmp_path.rglob("*") if path.is_file()) == sorted(set(names))
    assert [files.read(name) for name in names[:8]] == images


def test_a_damaged_image_is_noticed_and_putting_it_again_heals_it(tmp_path: Path) -> None:
    files = ImageStore(tmp_path)
    png = a_png()
    sha256 = files.put(png)
    files.path(sha256).write_bytes(png[:-5])
    with pytest.raises(ImageStoreError, match=rf"{sha256}\.png is damaged.*test_images again"):
        files.read(sha256)
    assert files.put(png) == sha256
    assert files.read(sha256) == png


def test_a_missing_image_says_how_to_get_it_back(tmp_path: Path) -> None:
    files = ImageStore(tmp_path)
    assert not files.has("0" * 64)
    with pytest.raises(ImageStoreError, match=r"missing.*generated anew"):
        files.read("0" * 64)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "0" * 63, "0" * 63 + "G", "A" * 64, "0" * 64 + "\n"])
def test_a_name_that_is_no_hash_leads_nowhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        ImageStore(tmp_path).path(name)


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"<svg onload='alert(1)'/>"])
def test_what_is_no_png_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ValueError, match="no PNG"):
        ImageStore(tmp_path).put(content)
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_is_killed_leaves_no_broken_image(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from pixel_lora_pipeline.store import ImageStore;"
        "files = ImageStore(Path(sys.argv[1])); print('ready', flush=True);"
        r"[files.put(b'\x89PNG\r\n\x1a\n' + bytes([n % 256, n // 256 % 256]) * 500_000) for n in range(10**6)]"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()
        files = ImageStore(tmp_path)
        while len(list(tmp_path.glob("*/*.png"))) < 3:
            assert process.poll() is None
        process.kill()
        process.wait()
    finished = list(tmp_path.glob("*/*.png"))
    assert len(finished) >= 3
    for path in finished:
        files.read(path.stem)
