"""Training: settings by name (recipes), one run (module, fit), all folds (crossval)."""
