"""Long answers and code: nothing that was drafted is lost, and members find the text likely.

Every round's text is held against the tokens that its drafter took, every member's tokens against
the answer; then the perplexity of the answer under each member against that of the member's own
sample at temperature 1, of the same number of tokens.
"""

import math
from typing import Any

import torch
from rich.progress import track

from adafuse import Answer, Ensemble
from adafuse.local.loglikelihood import continuation_logprobs
from adafuse.local.member import LocalMember
from adafuse.prompting.prompt import read_prompt
from benchmarks.speed.members import real_pair

__all__ = ["check", "run"]

PROSE = (
    "The history of the printing press in Europe\n\nBefore the printing press,",
    "The Fishermen of Saint Ives\n\nChapter 1\n\nIt was a cold morning, and the old fisherman",
    "Why do leaves change their colour in autumn? A longer answer for curious people.\n\nLeaves",
)
CODE = (
    '"""A small library for matrices."""\n\n\nclass Matrix:\n    def __init__(self, rows):\n',
    "#include <stdio.h>\n\n/* Reads numbers and prints them sorted. */\nint main(void) {\n",
    "<!DOCTYPE html>\n<html>\n<head>\n<title>Recipes</title>\n</head>\n<body>\n",
)


def run(tokens: int, samples: int) -> dict[str, Any]:
    """Answer every prompt with both members, and check; raises where anything is lost.

    Args:
        tokens: of each answer, at most.
        samples: of each member, for each prompt.
    """
    ensemble = real_pair()
    found = []
    for prompt in track((*PROSE, *CODE), "long answers and code"):
        answer = ensemble.generate(prompt, max_new_tokens=tokens)
        checked = check(ensemble, answer)
        perplexities = {
            member.name: _perplexities(member, prompt, answer, samples)
            for member in ensemble.members
            if isinstance(member, LocalMember)
        }
        found.append(
            {
                "prompt": prompt.split("\n")[0],
                "words": len(answer.text.split()),
                "ended": answer.finish_reason,
                **checked,
                "perplexity": perplexities,
            }
        )
        print(found[-1], flush=True)
    return {"answers": found}


def check(ensemble: Ensemble, answer: Answer) -> dict[str, int]:
    """Compare token by token; raises AssertionError at the first difference.

    Returns:
        How many rounds and tokens were compared, and how many symbols and newlines the text has.
    """
    limited = answer.finish_reason == "length"
    begun = 0
    for one in answer.rounds:
        won = one.candidates[one.winner]
        last = one is answer.rounds[-1]
        same = won.text.startswith(one.text) if last and limited else won.text == one.text
        assert same, f"round {one.index}: {won.text!r} won, {one.text!r} was committed"
        assert "".join(one.words) == one.text, f"round {one.index}: words do not add up"
        begun += len(one.text)
    assert begun == len(answer.text)
    tokens = 0
    for member in ensemble.members:
        assert isinstance(member, LocalMember)
        rest = answer.text.encode()
        for token in answer.usage[member.name].token_ids:
            piece = member.codec.token_bytes(token)
            assert rest.startswith(piece), f"{member.name}: {piece!r} where {rest[:20]!r} should be"
            rest = rest[len(piece) :]
            tokens += 1
        assert not rest, f"{member.name} lacks {rest[:40]!r}"
        assert not answer.usage[member.name].losses
    return {
        "rounds compared": len(answer.rounds),
        "tokens compared": tokens,
        "newlines": answer.text.count("\n"),
        "symbols": sum(not (c.isalnum() or c.isspace()) for c in answer.text),
    }


def _perplexities(
    member: LocalMember, prompt: str, answer: Answer, samples: int
) -> dict[str, float | list[float]]:
    """Of the answer, and of the member's own samples at temperature 1 with as many tokens."""
    context = member.render(read_prompt(prompt)).ids
    ids = answer.usage[member.name].token_ids
    own = []
    for seed in range(samples):
        torch.manual_seed(seed)
        drawn = member.runner.model.generate(
            torch.tensor([context]), do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
            max_new_tokens=len(ids), min_new_tokens=len(ids), pad_token_id=0,
        )[0, len(context):]  # fmt: skip
        own.append(_perplexity(member, context, drawn.tolist()))
    return {"fused": _perplexity(member, context, ids), "own samples": own}


def _perplexity(member: LocalMember, context: Any, ids: Any) -> float:
    found = continuation_logprobs(member, context, ids)
    return round(math.exp(-found.total / len(ids)), 2)
