"""How the lung segmenter is trained and measured: `cxrnode train` runs it for a recipe of kind "lungs"."""
