"""What travels inside an export for people and programs: card, description, class names."""

import inspect
import json

from tfcnns import answers, runs
from tfcnns.errors import UserError

from .endpoints import BOXES, BYTES, TENSORS

FOLDER = "assets.extra"  # TensorFlow Serving's own place for files that no graph reads
_FILES = "bytes of JPEG or PNG files, of any size, turned as their camera marks them"


def write(folder, run, model, endpoints, max_boxes, weights):
    """Writes MODEL_CARD.md, description.json and labels.txt into `folder`/assets.extra."""
    extra = folder / FOLDER
    extra.mkdir()
    described = describe(run, model, endpoints, max_boxes, weights)
    (extra / "description.json").write_text(json.dumps(described, indent=2) + "\n")
    (extra / "labels.txt").write_text("".join(f"{name}\n" for name in described["class_names"]))
    (extra / "MODEL_CARD.md").write_text(card(run, model, described))


def describe(run, model, endpoints, max_boxes, weights):
    """The facts of an export as a dict for JSON."""
    outputs = model.output if isinstance(model.output, dict) else {"classifier": model.output}
    classes = outputs["classifier"].shape[-1] if "classifier" in outputs else 0
    classes -= answers.has_background(run)
    facts = {
        "recipe": run.name,
        "weights": weights,
        "class_names": answers.class_names(run, classes),
        "endpoints": {name: _SAYS[name].format(max_boxes=max_boxes) for name in endpoints},
        "preprocessing": preprocessing(run, model, endpoints),
        "versions": runs.versions(),
        "run": {name: run.settings.get(name) for name in ("started", "commit", "versions")},
        "config": {k: v for k, v in run.config.items() if k != "class_names"},
    }
    if BOXES in endpoints:
        facts |= {"max_boxes": max_boxes, "least_score": run.config.get("least_score", 0.0)}
    return facts


_SAYS = {
    TENSORS: "images (N, H, W, C), pixels as the model takes them, to the model's own outputs",
    BYTES: f"image_bytes (N,), {_FILES}, to scores (N, classes), class_ids (N,), class_names (N,)",
    BOXES: f"image_bytes (N,), {_FILES}, to boxes (N, {{max_boxes}}, 4), edges x0, y0, x1, y1 in "
    "pixels of the upright image, classes, class_names and scores (N, {max_boxes}), best first, "
    "and count (N,); beyond an image's count: zeros, class -1",
}


def preprocessing(run, model, endpoints):
    """What happens to an image before the first layer with weights, a dict of texts."""
    layers = []
    for layer in model.layers[1:]:
        if layer.trainable_weights:
            break
        layers.append(f"{layer.name} ({type(layer).__name__})")
    inside = {"in the model": ", ".join(layers) or "nothing"}
    if BYTES not in endpoints:
        return inside
    before = "decoded by tf.io, then by the recipe's view:\n" + inspect.getsource(run.recipe.view)
    vote = answers.vote_of(run)
    after = f"the vote of all windows: {vote}" if vote else "the mean over views and positions"
    return {"before the model": before, **inside, "scores": after}


def card(run, model, described):
    """The model card, Markdown."""
    recipe = run.recipe
    paper = getattr(recipe, "PAPER", {})
    about = (recipe.__doc__ or "").strip().splitlines()
    data = run.config.get("data")
    lines = [
        f"# {run.name}",
        "",
        about[0] if about else "",
        "",
        "| | |",
        "|---|---|",
        f"| net | {model.name}, {model.count_params():,} parameters |",
        f"| paper | {paper.get('paper', 'none named')} |",
        f"| the paper's result | {paper.get('number') or 'none'} |",
        f"| recipe | {run.name} (tfcnns {described['versions']['tfcnns']}) |",
        f"| trained | {described['run']['started']}, commit {described['run']['commit']} |",
        f"| data | {data or 'that of the recipe'} |",
        f"| classes | {len(described['class_names'])}, named in labels.txt |",
        f"| test result | {_test_result(run, described['weights'])} |",
        "",
        "## Endpoints",
        *(f"- `{name}`: {text}" for name, text in described["endpoints"].items()),
        "",
        "## Before the first layer",
    ]
    for name, text in described["preprocessing"].items():
        first, *source = text.strip().splitlines()
        lines += [f"- {name}: {first}", *(["", "```python", *source, "```", ""] if source else [])]
    return "\n".join([*lines, *_LIMITS, ""])


_LIMITS = [
    "",
    "## Use and limits",
    "- Meant for images like those it was trained on; scores for others mean little, however high.",
    "- Scores aren't calibrated: .9 doesn't promise nine right answers of ten.",
    "- Nothing was measured about people, places or groups; don't decide about anyone with it.",
]


def _test_result(run, weights):
    file = run.path / "evaluation.json"
    if not file.exists():
        return "not evaluated"
    try:
        result = json.loads(file.read_text())
    except ValueError as error:
        raise UserError(f"{file} is damaged: {error}") from error
    if result.get("weights", weights) != weights:
        return f"of the {weights} weights not measured, of the {result['weights']} ones alone"
    if result.get("epochs", len(run.history())) != len(run.history()):
        return f"not measured since epoch {result['epochs']} of {len(run.history())}"
    of = f"of {result.get('examples', result.get('images'))} images, {result.get('split')} split"
    of += "".join(f", {value}" for value in result.get("set", ()))
    if "AP50" in result:
        return f"mean average precision at IoU .5: {100 * result['AP50']:.1f} % {of}"
    kind = "error" if "examples" in result else "localisation error"
    return f"{kind} {100 * result['error']:.2f} % {of}"
