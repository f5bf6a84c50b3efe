"""How far a training has come is read from what Kohya prints, whatever else stands there."""

import math
from pathlib import Path

import pytest

from pixel_lora_pipeline.train.trainers.kohya.output import GrowingLog, Printed, reason_of_failure


@pytest.mark.parametrize(
    ("bar", "printed"),
    [
        (
            "steps:  10%|█         | 16/160 [00:05<00:45,  3.20it/s, avr_loss=0.123]",
            Printed(step=16, steps=160, seconds_left=45, mean_loss=0.123),
        ),
        (
            "steps:   1%|  | 1/1600 [00:03<1:30:10,  3.69s/it, Average key norm=0.1, Keys Scaled=0, avr_loss=9e-5]",
            Printed(step=1, steps=1600, seconds_left=5410, mean_loss=9e-5),
        ),
        ("steps:   0%|          | 0/160 [00:00<?, ?it/s]", Printed(step=0, steps=160)),
        ("caching latents:  50%|█████     | 8/16 [00:05<00:45,  3.20it/s]", Printed()),
        ("INFO epoch is incremented. current_epoch: 0, epoch: 1  train_util.py:706", Printed()),
    ],
)
def test_the_progress_bar_is_understood(bar: str, printed: Printed, tmp_path: Path) -> None:
    log = tmp_path / "training.log"
    log.write_text(f"loading model\n\r{bar}", encoding="utf-8")
    assert GrowingLog(log).read() == printed


def test_what_is_written_bit_by_bit_is_read_as_what_is_written_at_once(tmp_path: Path) -> None:
    text = (
        "\nepoch 2/10\n\n\rsteps:  10%|█         | 16/160 [00:05<00:45,  3.20it/s, avr_loss=0.123]"
        "\rsteps:  11%|█         | 17/160 [00:05<00:44,  3.20it/s, avr_loss=nan]\n"
    ).encode()
    path = tmp_path / "training.log"
    log = GrowingLog(path)
    assert log.read() == Printed(), "nothing was written yet"
    for at in range(0, len(text), 5):
        with path.open("ab") as file:
            file.write(text[at : at + 5])
        printed = log.read()
    assert (printed.epoch, printed.epochs, printed.step, printed.seconds_left) == (2, 10, 17, 44)
    assert printed.mean_loss is not None and math.isnan(printed.mean_loss)


def test_the_error_of_the_script_is_told_and_not_that_of_its_launcher(tmp_path: Path) -> None:
    log = tmp_path / "training.log"
    log.write_text(
        """
Traceback (most recent call last):
  File "/home/me/sd-scripts/train_network.py", line 1115, in <module>
    trainer.train(args)
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB.
steps:   0%|          | 0/160 [00:03<?, ?it/s]
Traceback (most recent call last):
  File "/home/me/sd-scripts/venv/bin/accelerate", line 8, in <module>
    sys.exit(main())
subprocess.CalledProcessError: Command '['python', 'train_network.py']' returned non-zero exit status 1.
""",
        encoding="utf-8",
    )
    assert reason_of_failure(log) == "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB."
    log.write_text("steps: 10%\nKilled\n", encoding="utf-8")
    assert reason_of_failure(log) is None
