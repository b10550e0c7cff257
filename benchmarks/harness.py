"""The adapter to lm-eval beside the harness's own model, on the demo models: the same numbers.

A member alone with `branches=1` answers questions of grade-school mathematics, and reads answers to
trivia questions; the harness's model of the same weights does so too.
"""

import copy
import logging
from collections.abc import Sequence
from typing import Any

from rich.progress import track

from adafuse import Ensemble
from adafuse.demo.models import prepare_all
from adafuse.loading.loader import load_members
from adafuse.local.member import LocalMember
from adafuse.spec import MemberSpec
from benchmarks.rows import rows

__all__ = ["compared", "run"]


def run(items: int = 50, tokens: int = 32) -> dict[str, Any]:
    """Counts by member: equal answers, equal greedy flags, and the largest difference in nats."""
    folders = prepare_all()
    answers = [
        (f"Question: {row['question']}\nAnswer: Let us think step by step.",
         {"until": ["\n\n", "Question:"], "max_gen_toks": tokens, "do_sample": False})
        for row in rows("gsm8k", items)
    ]  # fmt: skip
    likelihoods = [
        (f"Question: {row['question']}\nAnswer:", f" {row['answers'][0]}")
        for row in rows("triviaqa", items)
    ]
    found = {}
    for name, folder in folders.items():
        (member,) = load_members([MemberSpec(str(folder), name=name, dtype="float32")])
        found[name] = compared(member, answers, likelihoods)
        print(name, found[name], flush=True)
    return found


def compared(
    member: LocalMember,
    answers: Sequence[tuple[str, dict[str, Any]]],
    likelihoods: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    """Ask both the same; the requests are those of `generate_until` and `loglikelihood`."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from adafuse_integrations.lm_eval import AdaFuseLM

    def ask(lm: Any, kind: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        requests = [  # copied: the harness's model adds its EOS to `until`
            Instance(request_type=kind, doc={}, arguments=copy.deepcopy(one), idx=0)
            for one in arguments
        ]
        shown = track(requests, f"{member.name}: {type(lm).__name__}.{kind}")
        return [getattr(lm, kind)([one], disable_tqdm=True)[0] for one in shown]

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    theirs = HFLM(pretrained=member.runner.model, tokenizer=copy.deepcopy(member.tokenizer))
    ours = AdaFuseLM(Ensemble([member]), branches=1)
    texts = [ask(lm, "generate_until", answers) for lm in (theirs, ours)]
    written = [(asked[0], text) for asked, text in zip(answers, texts[0], strict=True) if text]
    read = [*likelihoods, *written[: len(answers) // 5]]  # what was written is greedy, the rest not
    totals = [ask(lm, "loglikelihood", read) for lm in (theirs, ours)]
    pairs = list(zip(*totals, strict=True))
    return {
        "answers": len(answers),
        "answers equal": sum(a == b for a, b in zip(*texts, strict=True)),
        "answers not empty": sum(bool(text) for text in texts[0]),
        "unequal": [pair for pair in zip(*texts, strict=True) if pair[0] != pair[1]],
        "likelihoods": len(pairs),
        "greedy flags equal": sum(a[1] == b[1] for a, b in pairs),
        "greedy": sum(a[1] for a, _ in pairs),
        "largest difference": max(abs(a[0] - b[0]) for a, b in pairs),
        "largest relative difference": max(abs((a[0] - b[0]) / a[0]) for a, b in pairs),
    }
