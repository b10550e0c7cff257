"""An ensemble as a model of EleutherAI's lm-evaluation-harness, so that its benchmarks can be run.

    import lm_eval
    from adafuse_integrations.lm_eval import AdaFuseLM
    lm_eval.simple_evaluate(model=AdaFuseLM(ensemble), tasks=["arc_easy"])

Importing this registers the model as "adafuse". The harness's own command cannot be told to import
it, so that there is another one with the same options: `python -m adafuse_integrations.lm_eval`.
"""

from adafuse.errors import MissingExtraError

try:
    from lm_eval.api.registry import register_model
except ImportError as error:
    raise MissingExtraError("the adapter to lm-eval", "lm-eval") from error

from adafuse_integrations.lm_eval.model import AdaFuseLM

register_model("adafuse")(AdaFuseLM)

__all__ = ["AdaFuseLM"]
