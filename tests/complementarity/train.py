"""Train both members: `python tests/complementarity/train.py [--out folder]`.

One seed, and one thread for each member: minutes on two CPU cores. The same machine and versions
give the same bytes. Another CPU may add numbers in another order, so its weights differ in their
last bits, and its answers stay within the bounds of the test. `manifest.json` says what the weights
were made from.
"""

import argparse
import hashlib
import json
import math
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
import transformers

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from complementarity.body import HALVES, digest
from complementarity.lessons import Lessons
from complementarity.members import NAMES, build_model, build_tokenizer
from complementarity.skills import questions

__all__ = ["FOLDER", "recipe", "train_all"]

FOLDER = Path(__file__).resolve().parent / "members"
VERSION = 1  # to be raised with every change of the code that changes the weights
SEED = 7
STEPS = 2000
BATCH = 64
WARM_UP = 100
RATE = 3e-3
DECAY = 0.02
SAMPLE = 4000  # lessons that a tokenizer is trained on
IGNORED = -100  # transformers' label of a token without a loss


def recipe() -> dict[str, Any]:
    """What the weights follow from, as far as one can tell without training."""
    lessons = {half: Lessons(half, SEED) for half in HALVES}
    return {
        "version": VERSION,
        "seed": SEED,
        "steps": STEPS,
        "batch": BATCH,
        "rate": RATE,
        "decay": DECAY,
        "questions": digest([(one.prompt, one.answer) for one in questions()]),
        "lessons": {
            half: digest([each.draw() for _ in range(SAMPLE)]) for half, each in lessons.items()
        },
    }


def train(half: str, steps: int = STEPS) -> tuple[Any, Any]:
    """Train the member of a half; returns its model and tokenizer."""
    sample = Lessons(half, SEED)
    tokenizer: Any = build_tokenizer(half, ["".join(sample.draw()) for _ in range(SAMPLE)])
    torch.manual_seed(SEED)
    model: Any = build_model(half, tokenizer).train()
    lessons = Lessons(half, SEED)
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}],
        lr=RATE,
        betas=(0.9, 0.98),
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda at: _rate(at, steps))
    began = time.perf_counter()
    for step in range(1, steps + 1):
        ids, labels = _batch(tokenizer, lessons)
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 200 == 0:
            seconds = time.perf_counter() - began
            print(
                f"{NAMES[half]}: step {step}, loss {loss.item():.3f}, {seconds:.0f} s", flush=True
            )
    return model.eval(), tokenizer


def _rate(step: int, steps: int) -> float:
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    return 0.02 + 0.98 * (1 + math.cos(math.pi * step / steps)) / 2


def _batch(tokenizer: Any, lessons: Lessons) -> tuple[torch.Tensor, torch.Tensor]:
    """Padded ids and labels, both (batch, tokens); only answers and their end have a loss."""
    end = tokenizer.eos_token_id
    drawn = [lessons.draw() for _ in range(BATCH)]
    prompts = tokenizer([prompt for prompt, _ in drawn]).input_ids
    answers = tokenizer([answer for _, answer in drawn], add_special_tokens=False).input_ids
    width = max(len(p) + len(a) + 1 for p, a in zip(prompts, answers, strict=True))
    ids = torch.full((BATCH, width), end)
    labels = torch.full((BATCH, width), IGNORED)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        whole = torch.tensor([*prompt, *answer, end])
        ids[row, : len(whole)] = whole
        labels[row, len(prompt) : len(whole)] = whole[len(prompt) :]
    return ids, labels


def train_member(half: str, out: Path) -> dict[str, str]:
    """Train the member of a half and write its folder; returns the checksums of its files."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    model, tokenizer = train(half)
    folder = out / NAMES[half]
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return {
        f"{folder.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def train_all(out: Path) -> None:
    """Train both members, each in a process, and write their folders and the manifest."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(HALVES), context) as pool:
        done = list(pool.map(train_member, HALVES, [out] * len(HALVES)))
    manifest = {
        "recipe": recipe(),
        "made_with": {"torch": torch.__version__, "transformers": transformers.__version__},
        "files": {path: checksum for files in done for path, checksum in files.items()},
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False)
    (out / "manifest.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=FOLDER)
    train_all(parser.parse_args().out)
