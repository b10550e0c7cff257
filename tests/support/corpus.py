"""A small text of many scripts and shapes: tokenizers learn from it and prompts are cut from it.

Every character is written down here, so that tokenizers come out the same everywhere. Characters
that an editor might normalise or hide (joiners, combining marks, odd blanks) are escapes.
"""

ENGLISH: tuple[str, ...] = (
    "The quick brown fox jumps over the lazy dog.",
    "It was the best of times, it was the worst of times.",
    "What is the capital of France? The capital of France is Paris.",
    "Answer the question with a single word or a short phrase.",
    "The river runs from the mountains to the sea, and the sea is cold.",
    "She said: “I don't know,” and then she closed the door.",
    "In 1969 two men walked on the moon; a third stayed in orbit.",
    "Water boils at 100 °C and freezes at 0 °C.",
    "Models with different tokenizers write one answer together, word by word.",
    "If you want the answer, then ask the right question first.",
    "The price is $12.50 (about 11 euros), tax included.",
    "There are three kinds of people: those who can count and those who can't.",
    "First, read the text. Second, think. Third, write the answer.",
    "Who wrote the play? The play was written by William Shakespeare.",
    "A word is leading whitespace and a run of non-whitespace.",
    "You can use this with that, or that with this; there is no other way.",
)

GERMAN: tuple[str, ...] = (
    "Die Straße führt über die Brücke zum schönen Schloß.",
    "Wer früh aufsteht, hört die Vögel in den Bäumen singen.",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
    "Können wir das später üben? Natürlich, ich hätte gern noch Äpfel und Öl.",
)

CODE: tuple[str, ...] = (
    "def add(a, b):\n    return a + b\n",
    "for i in range(10):\n    if i < 5:\n        print(i)\n    else:\n        break\n",
    "class Point:\n    def __init__(self, x, y):\n        self.x = x\n        self.y = y\n",
    "import os\n\nfor name in os.listdir('.'):\n    print(name)\n",
    "int main(void) {\n\treturn 0;\n}\n",
    "while (x != 0) { x = x >> 1; n += 1; }",
    "SELECT name, count(*) FROM words WHERE size > 3 GROUP BY name;",
    "$ git log --oneline | head -n 5",
    '<div class="row"><p>text</p></div>',
    "https://example.org/path/to/page?name=value&other=1#part",
)

DATA: tuple[str, ...] = (
    '{"name": "Ada", "age": 36, "tags": ["math", "code"], "active": true}',
    '{\n  "a": 1,\n  "b": {"c": null}\n}',
    "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]",
    "| name | size |\n|------|------|\n| one  |    1 |\n| two  |    2 |\n",
    "name,size,price\none,1,1.50\ntwo,2,3.00\n",
    "key: value\nlist:\n  - one\n  - two\n",
)

MARKUP: tuple[str, ...] = (
    "$$\\int_0^1 x^2 \\, dx = \\frac{1}{3}$$",
    "\\begin{align} a &= b + c \\\\ d &= e \\end{align}",
    "# Title\n\n- first\n- second\n\n**bold** and *italic* and `code`.\n",
    "<think>Let me think about the question.</think>",
    "A line that ends with two blanks  \nand goes on.",
    "Question: Is x < 5?\n\nAnswer: yes",
)

SPACELESS: tuple[str, ...] = (
    "我喜欢学习语言,今天天气很好。",
    "中国的首都是北京。你好,世界!",
    "日本の首都は東京です。",
    "カタカナとひらがなと漢字を書く。",
    "ภาษาไทยไม่มีช่องว่างระหว่างคำ",
    "กรุงเทพเป็นเมืองหลวงของประเทศไทย",
)

OTHER_SCRIPTS: tuple[str, ...] = (
    "한국의 수도는 서울입니다.",
    "안녕하세요, 세계!",
    "عاصمة فرنسا هي باريس.",
    "مرحبا بالعالم",
    "Столица России — Москва.",
    "Η πρωτεύουσα της Ελλάδας είναι η Αθήνα.",
)

SIGNS: tuple[str, ...] = (
    "Family: \U0001f468\u200d\U0001f469\u200d\U0001f467 and flag \U0001f1e9\U0001f1ea",
    "Thumbs \U0001f44d\U0001f3fd up, heart \u2764\ufe0f, rocket \U0001f680!",
    "e\u0301 a\u0308 n\u0303 o\u0302: combining marks on their letters",
    "non\u00a0breaking, thin\u2009blank, ideographic\u3000blank, line\u2028end",
    "½ + ¼ = ¾, x² ≤ y³, a → b, ﬁne",
)

LINES: tuple[str, ...] = (
    *ENGLISH,
    *GERMAN,
    *CODE,
    *DATA,
    *MARKUP,
    *SPACELESS,
    *OTHER_SCRIPTS,
    *SIGNS,
)

# What a tokenizer without byte fallback is trained on: it has no piece for other characters.
LATIN: tuple[str, ...] = (*ENGLISH, *GERMAN, *CODE, *DATA)
