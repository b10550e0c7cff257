"""JSON schemas as a grammar can hold answers to them: bounded, and refused where that fails.

A weak model can go on with a string, a list or a row of digits until its tokens run out. A bounded
schema accepts less than the original, and never anything else; what cannot be made sure of is
refused. Plain values; knows no grammar.

    document     the parts of a schema, by pointer and by reference (`referencing`)
    keywords     which there are, and which are refused
    formats, regexes, numeric_bounds   what every reader takes alike
    scalars, arrays_objects   values of one type, with an end
    structure    references, shared names, and how options are told apart
    narrowing    all of them as one schema, for llguidance to merge
    bounds       all of that, for a number of tokens
    loosening    tools' schemas, less what no grammar can hold a call to
    validation   whether a value is what a schema accepts (`jsonschema`)
    pydantic_models   the schemas of Pydantic's models

Most of it needs the extra `constrained`, so nothing is imported here.
"""

OWN_BOUNDS = "x-own-bounds"
"""A note in what is made of a schema: which of its bounds the schema itself does not have."""
