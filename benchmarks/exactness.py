"""Exactness on the real pair: against `generate` of transformers, and against the plain oracle."""

import sys
from typing import Any

import torch
from rich.progress import track

from adafuse import Ensemble
from adafuse.demo.models import prepare_all
from adafuse.loading.loader import load_members
from adafuse.local.member import LocalMember
from adafuse.prompting.prompt import read_prompt
from adafuse.spec import MemberSpec
from benchmarks.rows import ROOT, rows, short_prompt

sys.path.insert(0, str(ROOT / "tests" / "support"))
sys.path.insert(0, str(ROOT / "tests" / "oracle"))

import oracle
from parity import compare


def run(prompts: int = 20, tokens: int = 64, oracle_prompts: int = 10) -> dict[str, Any]:
    """Compare ids with greedy `generate`, and rounds with the oracle; raises where they differ."""
    folders = prepare_all()
    members = load_members(
        [MemberSpec(str(folder), name=name, dtype="float32") for name, folder in folders.items()]
    )
    texts = [row["context"][:200] for row in rows("squad", prompts)]
    greedy: dict[str, Any] = {}
    for member in members:
        twin = LocalMember(member.runner, member.tokenizer, f"{member.name} again")
        alone, both = Ensemble([member]), Ensemble([member, twin])
        same = dict.fromkeys(("alone", "two copies", "tokens"), 0)
        for text in track(texts, f"{member.name}: greedy"):
            expected = _generate(member, text, tokens)
            for name, ensemble in (("alone", alone), ("two copies", both)):
                answer = ensemble.generate(text, branches=1, max_new_tokens=tokens)
                ids = list(answer.usage[member.name].token_ids)
                same[name] += ids == expected
            same["tokens"] += len(expected)
        greedy[member.name] = {"prompts": len(texts), **same}
        print(member.name, greedy[member.name], flush=True)
    pair = [oracle.OracleMember(m.name, m.runner.model, m.tokenizer) for m in members]
    ensemble = Ensemble(members)
    compared = total = 0
    questions = rows("natural_questions", oracle_prompts)
    for number, row in enumerate(track(questions, "oracle")):
        chat = number % 2 == 1
        prompt = [{"role": "user", "content": row["question"]}] if chat else short_prompt(row)
        settings = {"max_new_tokens": 12, "stop": ("\n",)}
        answer, reached = compare(pair, prompt, ensemble, **settings)
        compared, total = compared + reached, total + len(answer.rounds)
    found = {"prompts": len(questions), "rounds compared": compared, "rounds": total}
    print("oracle", found, flush=True)
    return {"greedy": greedy, "oracle": found}


def _generate(member: LocalMember, text: str, tokens: int) -> list[int]:
    """Greedy `generate` of transformers with neutral settings, up to the first end token."""
    rendered = member.render(read_prompt(text))
    model = member.runner.model
    output = model.generate(  # type: ignore[operator]
        torch.tensor([rendered.ids], device=model.device), max_new_tokens=tokens, do_sample=False
    )
    ids: list[int] = output[0][len(rendered.ids) :].tolist()
    ends = [at for at, token in enumerate(ids) if token in member.end_ids]
    return ids[: ends[0]] if ends else ids
