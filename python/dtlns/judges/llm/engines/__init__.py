"""What asks a language model, one file per engine; each imports its library when it is made."""
