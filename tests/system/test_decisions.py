"""Next words of reference texts: records hold the numbers of plain computations."""

import json
import math
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from adafuse.config import DecodingConfig
from adafuse.errors import ConfigError
from adafuse.local.member import LocalMember
from adafuse.local.reference import read_reference, split_reference
from adafuse.prompting.prompt import read_prompt
from adafuse.text.words import Word
from benchmarks.decisions import command, records, shared_tree, texts
from benchmarks.decisions.reading import BRANCHES, MARGIN, Reader
from benchmarks.decisions.records import record
from benchmarks.decisions.texts import Text
from benchmarks.members import PLAIN
from families import family

CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is it?"}]
CASES = [
    Text("answers", "a", "g", CHAT, "Paris, of course", True, ("\n",)),
    Text("answers", "b", "g", [*CHAT[:1], {"role": "user", "content": "Where now?"}], "Rome", True),
]
DOCUMENTS = [Text("prose", "c", "c", "The river runs", " from the hills\n\nto the sea.", False)]


def members(*names: str) -> list[LocalMember]:
    return [
        LocalMember(*family(name, 1), name, chat_template=PLAIN if name == "gemma3" else None)
        for name in names
    ]


def read(found: Sequence[LocalMember], cases: Sequence[Text]) -> list[dict[str, Any]]:
    readers = {member.name: Reader(member) for member in found}
    return record(readers, [(text, split_reference(text.reference, found)) for text in cases])


def _plain(member: LocalMember, context: Sequence[int], ids: Sequence[int]) -> list[float]:
    """Log-probability of ids behind a context, and of a border behind them, in float64."""
    with torch.no_grad():
        logits = member.runner.model(torch.tensor([[*context, *ids]])).logits[0]
    rows = logits.double().log_softmax(-1)[len(context) - 1 :]
    total = sum(float(row[id_]) for row, id_ in zip(rows, ids, strict=False))
    word, codec = Word(), member.codec
    for id_ in ids:
        word = word.read(codec.token_bytes(id_))
    if word.complete(16):
        return [total, 0.0]
    border = [
        id_
        for id_ in range(rows.shape[-1])
        if id_ in member.end_ids or codec.text([id_])[:1].isspace()
    ]
    return [total, float(rows[-1, border].logsumexp(-1))]


@pytest.mark.parametrize("logits", [2**24, 2500])
@pytest.mark.parametrize("cases", [CASES, DOCUMENTS])
def test_a_record_holds_what_plain_computations_give(
    monkeypatch: pytest.MonkeyPatch, cases: list[Text], logits: int
) -> None:
    monkeypatch.setattr(shared_tree, "_LOGITS", logits)
    found = members("llama3", "gemma3", "mistral")
    config = DecodingConfig(
        branches=BRANCHES, margin_threshold=MARGIN, max_words=1, speculation=False
    )
    for text, made in zip(cases, read(found, cases), strict=True):
        prompt = read_prompt(text.prompt)
        assert len(made["borders"]) == len(made["words"]) + text.ends
        for member in found:
            alone = read_reference(member, prompt, made["words"], ends=text.ends)
            context = list(member.render(prompt).ids)
            assert made["prompt"][member.name] == pytest.approx(
                [alone.prompt_nll, alone.prompt_characters], abs=1e-2
            )
            for at, border in enumerate(made["borders"]):
                own = border["members"][member.name]
                tokens, _, behind = own["reference"]
                assert -(tokens + behind) == pytest.approx(alone.nlls[at], abs=1e-2)
                assert own["entropy"] == pytest.approx(alone.entropies[at], abs=1e-3)
                blank = _same_drafts(member, text, made, at, config, context)
                if border["word"] is not None:
                    context += member.codec.encode(blank + border["word"])


def _same_drafts(
    member: LocalMember,
    text: Text,
    made: dict[str, Any],
    at: int,
    config: DecodingConfig,
    context: list[int],
) -> str:
    """Compare with what a session drafts behind the context, and with plain forwards."""
    border = made["borders"][at]
    own, candidates = border["members"][member.name], border["candidates"]
    chat = not isinstance(text.prompt, str) and at == 0
    with closing(member.open(read_prompt(text.prompt), config)) as session:
        session.prefill()
        rest = context[session.usage.prompt_tokens :]
        if rest:
            session._sequence.commit(rest)
        drafts = session.draft(strip_blank=chat)
        spelt = dict(session._drafted)
        blank = session._prefix._blank
    assert own["confident"] == drafts.confident
    assert own["margin"] == pytest.approx(drafts.margins[-1], abs=1e-3)
    expected = [None if draft.ends else draft.text for draft in drafts.drafts]
    drafted = [candidates[place]["text"] for place, _ in own["drafts"]]
    assert drafted[: len(expected)] == expected
    assert len(drafted) <= BRANCHES
    for place, candidate in enumerate(candidates):
        tokens, count, behind = candidate["likelihoods"][member.name]
        if candidate["text"] is None:
            end = _plain(member, context, [])
            with torch.no_grad():
                row = member.runner.model(torch.tensor([context])).logits[0, -1].double()
            end = row.log_softmax(-1)[sorted(member.end_ids)].logsumexp(-1)
            assert tokens == pytest.approx(float(end), abs=1e-2)
            assert (count, behind) == (1, 0)
            continue
        ids = spelt.get((candidate["text"], False))
        if ids is None:
            if place in [drafted for drafted, _ in own["drafts"]]:
                continue  # of a confident member: what else it might have drafted
            ids = tuple(member.codec.encode(blank + candidate["text"]))
        assert count == len(ids)
        assert [tokens, behind] == pytest.approx(_plain(member, context, ids), abs=1e-2)
    return blank


def _count(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    read_texts: list[str] = []

    def counted(readers: Any, wanted: Any) -> Any:
        read_texts.extend(text.row for text, _ in wanted)
        return record(readers, wanted)

    monkeypatch.setattr(records, "record", counted)
    return read_texts


def _sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "_SOURCES", {"prose": lambda folder, rng: iter(
        Text("prose", f"{n}", f"{n}", "The river runs", f" to the sea {n}.", ends=False)
        for n in range(9)
    )})  # fmt: skip


def test_a_run_goes_on_where_it_was_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _sources(monkeypatch)
    read_texts = _count(monkeypatch)
    loaded = members("llama3", "gpt2")

    def run(borders: int, seed: int = 0) -> None:
        command.run(tmp_path, ["prose"], [], "float32", borders, seed, tmp_path, loaded=loaded)

    run(8)
    assert read_texts == ["0", "1"]
    file = tmp_path / "prose.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole[:-30])  # killed while it wrote the second
    run(8)
    assert read_texts == ["0", "1", "1"]
    assert file.read_text().count("\n") == 2
    run(16)
    assert read_texts == ["0", "1", "1", "2", "3"]
    with pytest.raises(ConfigError, match="other seed"):
        run(16, seed=1)
    file.write_text("{}\n")
    with pytest.raises(ConfigError, match="no record"):
        run(16)


def test_every_kind_has_texts_in_an_order_of_its_seed(tmp_path: Path) -> None:
    rows = {
        "squad": [{"context": f"In {n} it rained. " * 30, "question": "When?",
                   "answers": [f"in {n}", f"{n}"]} for n in range(5)],
        "gsm8k": [{"question": f"{n}+1?", "answer": f"It is {n + 1}."} for n in range(9)],
        "flores_en_de": [{"source": f"One {n}", "reference": f"Eins {n}"} for n in range(9)],
    }  # fmt: skip
    for name, lines in rows.items():
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    for kind in texts.KINDS:
        made = list(texts.texts(kind, tmp_path, 0))
        assert len({text.key for text in made}) == len(made) > 3
        assert made == list(texts.texts(kind, tmp_path, 0))
        assert made != list(texts.texts(kind, tmp_path, 1))
        assert all(text.ends != isinstance(text.prompt, str) for text in made)
    with pytest.raises(ConfigError, match="--data"):
        list(texts.texts("answers", tmp_path / "missing", 0))


def test_records_are_finite_numbers() -> None:
    for made in read(members("llama3", "gpt2", "qwen2", "t5"), DOCUMENTS):
        for border in made["borders"]:
            for candidate in border["candidates"]:
                for numbers in candidate["likelihoods"].values():
                    assert all(map(math.isfinite, numbers))
