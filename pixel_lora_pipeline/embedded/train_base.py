"""Trains the embedded base model: `python -m pixel_lora_pipeline.embedded.train_base --out FOLDER`.

Stages: render a pool of soft portraits; set the autoencoder and train its decoder; teach the text encoder to read
captions (it predicts the attributes that a caption names); train U-Net and text encoder together on velocity. A
run that was stopped goes on from its last saved state, also with another number of steps.
"""

import argparse
import json
import math
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.distributed as dist
from diffusers import AutoencoderKL, UNet2DConditionModel
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from pixel_lora_pipeline.embedded.architecture import (
    TEXT_WIDTH,
    analytic_autoencoder,
    assemble,
    build_scheduler,
    build_text_encoder,
    build_unet,
)
from pixel_lora_pipeline.embedded.captioning import tag_color, varied_caption
from pixel_lora_pipeline.embedded.muon import Muon
from pixel_lora_pipeline.embedded.portrait import ACCESSORIES, Portrait, draw_portrait
from pixel_lora_pipeline.embedded.render import render_pixel, render_soft
from pixel_lora_pipeline.embedded.vocabulary import build_tokenizer

POOL_SIZE: Final = 16_000
HEX_SHARE: Final = 0.5
BATCH_SIZE: Final = 16
READING_BATCH: Final = 48
CAPTION_DROPOUT: Final = 0.1
EMA_DECAY: Final = 0.999
PEAK_RATE: Final = 2e-3
WARMUP_STEPS: Final = 200
FINAL_RATE_SHARE: Final = 0.04
SAVE_EVERY: Final = 250

Pool = tuple[list[Portrait], NDArray[np.uint8]]


def render_pool(size: int, seed: int) -> Pool:
    """`size` random portraits that are not held out, in the soft style, uint8 (size, 64, 64, 3)."""
    rng = np.random.default_rng(seed)
    portraits: list[Portrait] = []
    while len(portraits) < size:
        portrait = draw_portrait(rng, hex_share=HEX_SHARE)
        if not portrait.held_out:
            portraits.append(portrait)
    chunks = [portraits[start : start + 250] for start in range(0, size, 250)]
    with ProcessPoolExecutor(max_workers=2, mp_context=multiprocessing.get_context("spawn")) as workers:
        images = list(workers.map(_render_chunk, chunks, range(seed, seed + len(chunks))))
    return portraits, np.concatenate(images)


def _render_chunk(portraits: list[Portrait], seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return np.stack([render_soft(portrait, rng) for portrait in portraits])


def train_decoder(images: NDArray[np.uint8], portraits: list[Portrait], steps: int, seed: int) -> AutoencoderKL:
    """The analytic autoencoder with its decoder trained on both styles, for latents with a little noise."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    sprites = np.stack([render_pixel(portrait) for portrait in portraits[:3000]])
    autoencoder = analytic_autoencoder(np.concatenate([images[:2000], sprites[:1000]]))
    decoder = nn.ModuleList([autoencoder.decoder, autoencoder.post_quant_conv])
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=1e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _cosine(step, steps, warmup=50))
    for step in range(steps):
        soft = images[rng.integers(len(images), size=4)]
        hard = sprites[rng.integers(len(sprites), size=4)]
        target = _to_tensor(np.concatenate([soft, hard]))
        with torch.no_grad():
            latents = autoencoder.encode(target).latent_dist.mean
            latents = latents + torch.randn_like(latents) * torch.rand(len(latents), 1, 1, 1) * 0.1
        painted = autoencoder.decode(latents).sample
        loss = nn.functional.mse_loss(painted, target) + 0.1 * nn.functional.l1_loss(painted, target)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(f"decoder step {step} loss {loss.item():.5f}", flush=True)
    return autoencoder


def train_reading(tokenizer: CLIPTokenizer, steps: int, seed: int) -> CLIPTextModel:
    """The text encoder, taught to predict what a caption says.

    From the end token: the colour of each region (regressed in [−1, 1]), the accessory, expression and hair
    length; what a caption leaves out does not count. From the last token of each tag: the colour of that tag,
    without which hex codes are hardly learnt at all.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    text_encoder = build_text_encoder(tokenizer)
    head = nn.Linear(TEXT_WIDTH, 12 + len(ACCESSORIES) + 2)
    tag_head = nn.Linear(TEXT_WIDTH, 3)
    parameters = [*text_encoder.parameters(), *head.parameters(), *tag_head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _cosine(step, steps, warmup=100))
    for step in range(steps):
        portraits = [draw_portrait(rng, hex_share=0.6) for _ in range(READING_BATCH)]
        captions = [varied_caption(portrait, rng) for portrait in portraits]
        tokens = _tokens(tokenizer, [text for text, _ in captions], padding="longest")
        colors, choices, mask = _reading_targets(portraits, [mentioned for _, mentioned in captions])
        hidden = text_encoder(tokens).last_hidden_state
        ends = (tokens == tokenizer.eos_token_id).int().argmax(dim=1)
        anywhere = (ends + torch.rand(len(ends)) * (tokens.shape[1] - ends)).long()
        rows, columns, tag_colors = _tag_targets(tokenizer, [text for text, _ in captions])
        tag_loss = nn.functional.mse_loss(tag_head(hidden[rows, columns]), tag_colors)
        loss = 4 * tag_loss
        for positions in (ends, anywhere):
            said = head(hidden[torch.arange(len(ends)), positions])
            loss = loss + (((said[:, :12] - colors) ** 2).reshape(-1, 4, 3).mean(2) * mask[:, :4]).mean() * 4
            accessory = nn.functional.cross_entropy(said[:, 12:16], choices[:, 0], reduction="none")
            binary = nn.functional.binary_cross_entropy_with_logits(
                said[:, 16:], choices[:, 1:].float(), reduction="none"
            )
            loss = loss + (accessory * mask[:, 4]).mean() + (binary * mask[:, 5:]).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(f"reading step {step} loss {loss.item():.4f} tags {tag_loss.item():.4f}", flush=True)
    return text_encoder


def _reading_targets(portraits: list[Portrait], mentioned: list[set[str]]) -> tuple[Tensor, Tensor, Tensor]:
    """Colours (n, 12), choices (n, 3) and which of the seven attributes count (n, 7)."""
    regions = ("background", "hair", "skin", "clothes")
    colors = torch.tensor(
        [
            [int(getattr(p, region)[at : at + 2], 16) / 127.5 - 1 for region in regions for at in (1, 3, 5)]
            for p in portraits
        ]
    )
    choices = torch.tensor(
        [[ACCESSORIES.index(p.accessory), p.expression == "smile", p.hair_length == "long"] for p in portraits],
        dtype=torch.long,
    )
    attributes = (*regions, "accessory", "expression", "hair_length")
    mask = torch.tensor([[float(attribute in said) for attribute in attributes] for said in mentioned])
    return colors, choices, mask


def _tag_targets(tokenizer: CLIPTokenizer, captions: list[str]) -> tuple[Tensor, Tensor, Tensor]:
    """Row and position of the last token of each tag that names a colour, and that colour (n, 3) in [−1, 1]."""
    rows: list[int] = []
    columns: list[int] = []
    colors: list[list[float]] = []
    for row, caption in enumerate(captions):
        at = 0  # the start token
        for tag in caption.split(", "):
            at += len(tokenizer.tokenize(tag))
            if (color := tag_color(tag)) is not None:
                rows.append(row)
                columns.append(at)
                colors.append([int(color[start : start + 2], 16) / 127.5 - 1 for start in (1, 3, 5)])
            at += 1  # the comma
    return torch.tensor(rows), torch.tensor(columns), torch.tensor(colors)


def train_painting(folder: Path, latents: Tensor, portraits: list[Portrait], steps: int, rank: int, world: int) -> None:
    """U-Net and text encoder on velocity prediction, as one of `world` processes that share each batch.

    The state (weights, their moving average, optimisers, step) is saved every `SAVE_EVERY` steps by rank 0.
    """
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", f"file://{folder / 'rendezvous'}", timeout=timedelta(hours=2), rank=rank, world_size=world
    )
    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    unet, text_encoder = build_unet(), build_text_encoder(tokenizer)
    text_encoder.load_state_dict(load_file(folder / "reading.safetensors"))
    model = nn.ModuleDict({"unet": unet, "text_encoder": text_encoder})
    average = {name: value.detach().clone() for name, value in model.state_dict().items()}
    optimizers, schedules, matrices = _optimizers(unet, text_encoder, steps)
    first = 0
    state_file = folder / "state.pt"
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        model.load_state_dict(state["model"])
        average = state["average"]
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        first = int(state["step"])
    for schedule in schedules:
        schedule.last_epoch = first
    scheduler = build_scheduler()
    signal = scheduler.alphas_cumprod.sqrt()
    noise_level = (1 - scheduler.alphas_cumprod).sqrt()
    generator = torch.Generator().manual_seed(1000 * first + rank)
    rng = np.random.default_rng([first, rank])
    parameters = [p for p in model.parameters() if p.requires_grad]
    share = BATCH_SIZE // world
    running, started = 0.0, time.monotonic()
    for step in range(first, steps):
        chosen = rng.integers(len(portraits), size=share)
        captions = [
            "" if rng.random() < CAPTION_DROPOUT else varied_caption(portraits[index], rng)[0] for index in chosen
        ]
        clean = latents[torch.from_numpy(chosen)].float()
        noise = torch.randn(clean.shape, generator=generator)
        timesteps = torch.randint(0, 1000, (share,), generator=generator)
        a, s = signal[timesteps].view(-1, 1, 1, 1), noise_level[timesteps].view(-1, 1, 1, 1)
        hidden = text_encoder(_tokens(tokenizer, captions)).last_hidden_state
        predicted = unet(a * clean + s * noise, timesteps, hidden).sample
        loss = nn.functional.mse_loss(predicted, a * noise - s * clean)
        model.zero_grad()
        torch.autograd.backward(loss)
        _share_gradients(parameters, world)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        for matrix, weight in matrices:
            matrix.grad = None if weight.grad is None else weight.grad.view_as(matrix)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
        if rank != 0:
            continue
        decay = min(EMA_DECAY, (step + 1) / (step + 10))
        for name, value in model.state_dict().items():
            average[name].lerp_(value, 1 - decay)
        running += loss.item()
        if (step + 1) % 50 == 0:
            pace = (time.monotonic() - started) / (step + 1 - first)
            print(f"painting step {step + 1}/{steps} loss {running / 50:.4f} {pace:.3f} s/step", flush=True)
            running = 0.0
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == steps:
            saved = {
                "step": step + 1,
                "model": model.state_dict(),
                "average": average,
                "optimizers": [optimizer.state_dict() for optimizer in optimizers],
            }
            torch.save(saved, state_file.with_suffix(".tmp"))
            state_file.with_suffix(".tmp").replace(state_file)
    dist.destroy_process_group()


def _optimizers(
    unet: UNet2DConditionModel, text_encoder: CLIPTextModel, steps: int
) -> tuple[
    list[torch.optim.Optimizer],
    list[torch.optim.lr_scheduler.LRScheduler],
    list[tuple[nn.Parameter, nn.Parameter]],
]:
    """Muon for the U-Net's weights (kernels seen as matrices that share their memory), AdamW for the rest."""
    matrices: list[tuple[nn.Parameter, nn.Parameter]] = []
    others: list[nn.Parameter] = []
    for parameter in unet.parameters():
        if parameter.ndim >= 2:
            matrices.append((nn.Parameter(parameter.data.view(len(parameter), -1)), parameter))
        else:
            others.append(parameter)
    optimizers: list[torch.optim.Optimizer] = [
        Muon([matrix for matrix, _ in matrices], lr=PEAK_RATE),
        torch.optim.AdamW(
            [
                {"params": others, "lr": PEAK_RATE},
                {"params": list(text_encoder.parameters()), "lr": PEAK_RATE / 4},
            ],
            weight_decay=0.0,
            betas=(0.9, 0.99),
        ),
    ]
    schedules: list[torch.optim.lr_scheduler.LRScheduler] = [
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _cosine(step, steps, warmup=WARMUP_STEPS))
        for optimizer in optimizers
    ]
    return optimizers, schedules, matrices


def _share_gradients(parameters: list[nn.Parameter], world: int) -> None:
    """One all-reduce over all gradients: many small ones would cost more than the step."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    flat /= world
    at = 0
    for gradient in gradients:
        gradient.copy_(flat[at : at + gradient.numel()].view_as(gradient))
        at += gradient.numel()


def _cosine(step: int, steps: int, *, warmup: int) -> float:
    if step < warmup:
        return (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    return FINAL_RATE_SHARE + (1 - FINAL_RATE_SHARE) * 0.5 * (1 + math.cos(math.pi * done))


def _tokens(tokenizer: CLIPTokenizer, captions: list[str], padding: str = "max_length") -> Tensor:
    encoded = tokenizer(
        captions, padding=padding, max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
    )
    tokens: Tensor = encoded.input_ids
    return tokens


def _to_tensor(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1.0


def _batches(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, start + size)


def export(folder: Path, destination: Path) -> None:
    """Writes the averaged weights as a float16 pipeline folder.

    Raises
    ------
    FileNotFoundError
        If no state was saved in `folder` yet.
    """
    tokenizer = build_tokenizer()
    unet, text_encoder = build_unet(), build_text_encoder(tokenizer)
    average = torch.load(folder / "state.pt", weights_only=True)["average"]
    for name, part in (("unet", unet), ("text_encoder", text_encoder)):
        prefix = f"{name}."
        part.load_state_dict({k.removeprefix(prefix): v for k, v in average.items() if k.startswith(prefix)})
    autoencoder = AutoencoderKL.from_pretrained(folder / "autoencoder", use_safetensors=True)
    assemble(tokenizer, text_encoder.half(), unet.half(), autoencoder.half()).save_pretrained(destination)


def _paint_worker(rank: int, world: int, folder: Path, steps: int) -> None:
    portraits = [Portrait(**_restore(row)) for row in json.loads((folder / "portraits.json").read_text())]
    latents = load_file(folder / "latents.safetensors")["latents"]
    train_painting(folder, latents, portraits, steps, rank, world)


def _restore(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "pose": tuple(row["pose"])}


def _prepare_decoder(folder: Path, steps: int) -> None:
    torch.set_num_threads(1)
    portraits = [Portrait(**_restore(row)) for row in json.loads((folder / "portraits.json").read_text())]
    images = np.load(folder / "pool.npy")
    train_decoder(images, portraits, steps, seed=1).save_pretrained(folder / "autoencoder")


def _prepare_reading(folder: Path, steps: int) -> None:
    torch.set_num_threads(1)
    save_file(train_reading(build_tokenizer(), steps, seed=2).state_dict(), folder / "reading.safetensors")


def _encode_pool(folder: Path) -> None:
    autoencoder = AutoencoderKL.from_pretrained(folder / "autoencoder", use_safetensors=True)
    images = np.load(folder / "pool.npy")
    with torch.no_grad():
        parts = [autoencoder.encode(_to_tensor(images[part])).latent_dist.mean for part in _batches(len(images), 64)]
    save_file({"latents": torch.cat(parts).half().contiguous()}, folder / "latents.safetensors")


def main() -> None:
    """Runs what is missing in the folder, then exports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the training's state")
    parser.add_argument("--export", type=Path, help="where the finished pipeline is written")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--reading-steps", type=int, default=3_000)
    parser.add_argument("--decoder-steps", type=int, default=1_500)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    folder: Path = arguments.out
    folder.mkdir(parents=True, exist_ok=True)
    spawn = multiprocessing.get_context("spawn")

    if not (folder / "portraits.json").exists():
        portraits, images = render_pool(POOL_SIZE, seed=0)
        np.save(folder / "pool.npy", images)
        (folder / "portraits.json").write_text(json.dumps([vars(portrait) for portrait in portraits]))
    preparations = []
    if not (folder / "autoencoder").exists():
        preparations.append(spawn.Process(target=_prepare_decoder, args=(folder, arguments.decoder_steps)))
    if not (folder / "reading.safetensors").exists():
        preparations.append(spawn.Process(target=_prepare_reading, args=(folder, arguments.reading_steps)))
    for process in preparations:
        process.start()
    _wait(preparations)
    if not (folder / "latents.safetensors").exists():
        _encode_pool(folder)

    (folder / "rendezvous").unlink(missing_ok=True)
    painters = [
        spawn.Process(target=_paint_worker, args=(rank, arguments.processes, folder, arguments.steps))
        for rank in range(arguments.processes)
    ]
    for process in painters:
        process.start()
    _wait(painters)
    if arguments.export:
        export(folder, arguments.export)


def _wait(processes: list[Any]) -> None:
    for process in processes:
        process.join()
    failed = [process.name for process in processes if process.exitcode != 0]
    if failed:
        raise SystemExit(f"{', '.join(failed)} failed; see the output above. What was saved is kept.")


if __name__ == "__main__":
    main()
