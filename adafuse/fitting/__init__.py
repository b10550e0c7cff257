"""How much should each member say? Weights fitted to your texts, and a file that has them.

    import adafuse
    result = adafuse.fit(["org/model-a", "org/model-b"], "questions.jsonl", out="ensemble.yaml")
    print(result.sentence)
    ensemble = adafuse.Ensemble.load("ensemble.yaml")

The same from a shell: `python -m adafuse fit --help`. Needs the extra `compare`.
"""

from adafuse.fitting.fitter import fit
from adafuse.fitting.mixture import Mixture, fit_mixture, fit_prompt_exponent
from adafuse.fitting.result import FitResult

__all__ = ["FitResult", "Mixture", "fit", "fit_mixture", "fit_prompt_exponent"]
