"""A language model as judge: prompts from path codes, engines that score their two labels, stored answers."""
