"""adafuse as a drop-in model of application frameworks, one subpackage each.

    from adafuse_integrations.langchain import AdaFuseLLM

Importing a subpackage needs its framework and nothing else; torch is imported when a model is
loaded.
"""
