"""What the page of any run says about it."""


def run_facts(run, model):
    """Size, length and versions of a run as a dict of texts, for `write_report`."""
    history = run.history()
    facts = {
        "Parameters": f"{model.count_params():,}",
        "Epochs": len(history),
        "Training time": f"{sum(row['seconds'] for row in history):.0f} s",
        "Seed": run.config.get("seed"),
    }
    versions = run.settings["versions"]
    facts["Versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    return facts
