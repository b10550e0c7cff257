"""The plain oracle of DESIGN 3.6: slow, and as close to the words of DESIGN section 3 as code gets.

It keeps no KV cache, batches nothing, and uses none of the package's code, so that what the package
misreads is not misread here too. `oracle_text` is one tokenizer, `oracle_member` one member's
drafts and mean scores, `oracle_words` its probabilities of words, `oracle_grammar` what a grammar
says, `oracle_repetition` what has to close in JSON, `oracle_options` what becomes of the members'
scores, and `oracle_round` the rounds of an answer.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from oracle_answer import (
    OracleAnswer,
    OracleMember,
    OracleRound,
    before_stop,
    cut_rounds,
)
from oracle_grammar import Grammar
from oracle_member import Member, Settings
from oracle_options import Options, by_prompt, fit
from oracle_round import Fusion
from oracle_text import Message, Text

__all__ = ["OracleAnswer", "OracleMember", "OracleRound", "run"]

FALLBACK_STOP = "\n\nUser:"
TOKENS_TO_CLOSE = 96
"""With fewer tokens left a grammar may have the answer closed, which is not told here."""


def run(
    members: Sequence[OracleMember],
    prompt: str | list[Message],
    *,
    prompt_format: str = "raw",
    margin_threshold: float = 0.7,
    max_words: int = 3,
    branches: int | None = None,
    max_word_tokens: int = 16,
    temperature: float = 0.0,
    seed: int | None = None,
    stop: Sequence[str] = (),
    max_new_tokens: int = 256,
    repetition_penalty: float = 1.0,
    grammar: str | None = None,
    trigger: str | None = None,
    prose: bool = True,
    guarded: bool = False,
    names: Sequence[str] = (),
    rule: str = "words",
    pool_stops: bool = True,
    **options: Any,
) -> OracleAnswer:
    """Answer; `prose`: as text without a grammar begins and stops, up to the trigger.

    `options` are those of `oracle_options`. By words a member without weight is not asked.
    """
    if branches is None:  # the likeliest word of each where the likeliest wins
        branches = 3 if temperature or rule == "paper" else 1
    settings = Settings(
        margin_threshold, max_words, branches, max_word_tokens, repetition_penalty, rule
    )
    if rule == "words":
        members = [member for member in members if member.weight > 0]
    texts = [Text(given.tokenizer) for given in members]
    prompts = [text.prompt(prompt, prompt_format) for text in texts]
    forms = [form for _, form in prompts]
    bound = Grammar(grammar, trigger, guarded, names) if grammar is not None else None
    stops = [*stop, FALLBACK_STOP] if "fallback" in forms and prose else list(stop)
    own = [
        Member(
            given.name, given.model, text, ids, settings, bound,
            [*stop, *([FALLBACK_STOP] if form == "fallback" else [])] if pool_stops else (),
        )
        for given, text, (ids, form) in zip(members, texts, prompts, strict=True)
    ]  # fmt: skip
    strip, weights = prose and "template" in forms, [given.weight for given in members]
    chosen = Options(**options)
    if chosen.prompt_exponent:
        said = [prompt] if isinstance(prompt, str) else [one["content"] for one in prompt]
        fits = [fit(member, said) for member in own]
        weights = by_prompt(weights, fits, chosen.prompt_exponent)
    fusion = Fusion(own, weights, strip, temperature, bound, chosen)
    rng = random.Random(seed)
    answer, finish = "", None
    while finish is None:
        if bound and max_new_tokens - len(own[0].committed) < TOKENS_TO_CLOSE:
            finish = "untold"
            break
        step = fusion.round(rng, max_new_tokens)
        if step is None:
            finish = "length"
            break
        done, cut = step
        fusion.rounds.append(done)
        answer += done.text
        before = before_stop(answer.partition(trigger)[0] if trigger else answer, stops)
        if before is None and done.stop is not None:
            before = answer[: len(answer) - done.stop]
        if before is not None:
            answer, finish = before, "stop_string"
            fusion.rounds[-1] = replace(done, ends=False)
        elif done.ends:
            finish = "stop"
        elif cut or len(own[0].committed) >= max_new_tokens or any(m.room <= 0 for m in own):
            finish = "length"
    return OracleAnswer(
        text=answer,
        rounds=cut_rounds(fusion.rounds, len(answer)),
        finish_reason=finish,
        token_ids={member.name: tuple(member.committed) for member in own},
    )
