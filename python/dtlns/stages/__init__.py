"""The stages: each reads artefacts, calls one pure function and writes one artefact."""
