#!/usr/bin/env bash
# Installs the project twice as a user of one framework would, and answers there with a script.
# Usage: clean_environments.sh [PYTHON]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${1:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

try_in() { # EXTRA MODULE ANSWER ABSENT
	"$python" -m venv "$folder/$1"
	"$folder/$1/bin/python" -m pip install --disable-pip-version-check --quiet \
		--constraint constraints.txt ".[$1]"
	(cd "$folder" && "$folder/$1/bin/python" - <<-END)
		import importlib.util
		import sys

		from adafuse import Ensemble
		from adafuse.testing import ScriptedMember
		from adafuse_integrations.$2 import AdaFuseLLM

		llm = AdaFuseLLM(ensemble=Ensemble([ScriptedMember("one two")]))
		assert $3 == "one two"
		assert importlib.util.find_spec("$4") is None, "$4 is installed here"
		assert "torch" not in sys.modules
		print("$2 answers without $4")
	END
}

try_in langchain langchain 'llm.invoke("p")' llama_index
try_in llama-index llama_index 'llm.complete("p").text' langchain_core
