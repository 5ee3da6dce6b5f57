"""Images that a net finds alike: nearest in its last hidden layer (AlexNet, figure 4)."""

import numpy as np

from . import (
    VERMILLION,
    WIDTH,
    as_pictures,
    house_style,
    new_figure,
    short_name,
    show_picture,
)

NEIGHBOURS = 6  # beside each image, as in the paper's figure


def hidden_model(model):
    """A model of the features that the last layer with weights makes its decision of.

    Args:
        model: a functional or Sequential keras.Model of images with one output.

    Returns:
        A keras.Model (N, H, W, C) -> (N, features) that shares the weights, maps flattened, or
        None if there is only one layer with weights, or the last one is a model itself.
    """
    import keras  # here, since the plots themselves need no Keras

    layers = [layer for layer in model.layers if any(w.name == "kernel" for w in layer.weights)]
    if len(layers) < 2 or isinstance(layers[-1], keras.Model):
        return None
    features = keras.layers.Flatten(name="hidden_features")(layers[-1].input)
    return keras.Model(model.inputs, features, name="hidden")


def nearest(features, queries, count=NEIGHBOURS):
    """The images nearest to some of them, by Euclidean distance.

    Args:
        features: (N, F), of all images.
        queries: (n,) rows of `features`.
        count: how many neighbours; the image itself is none.

    Returns:
        Rows (n, count) int and distances (n, count) float64, nearest first; fewer columns if
        there are fewer images.
    """
    features = np.asarray(features, "float64")
    rows, distances = [], []
    for query in queries:
        distance = np.sqrt(((features - features[query]) ** 2).sum(1))
        distance[query] = np.inf
        order = np.argsort(distance, kind="stable")[: min(count, len(features) - 1)]
        rows.append(order)
        distances.append(distance[order])
    return np.array(rows, int).reshape(len(rows), -1), np.array(distances).reshape(len(rows), -1)


@house_style()
def plot_nearest(images, neighbours, distances, labels, neighbour_labels, class_names):
    """A row an image: itself, then its neighbours with their classes and distances.

    Neighbours of another class have a dashed frame.

    Args:
        images: (n, h, w), (n, h, w, 1) or (n, h, w, 3), as `as_pictures` takes them.
        neighbours: (n, k, h, w, ...), theirs, nearest first.
        distances: (n, k).
        labels: (n,) true classes of the images; neighbour_labels: (n, k) of the neighbours.
        class_names: what the classes mean.

    Returns:
        A Figure with an axis for each image and neighbour.
    """
    images, neighbours = np.asarray(images), np.asarray(neighbours)
    labels, neighbour_labels = np.asarray(labels, int), np.asarray(neighbour_labels, int)
    rows, columns = neighbour_labels.shape
    if neighbours.shape != (rows, columns, *images.shape[1:]) or len(images) != rows or not rows:
        raise ValueError(
            "neighbours must be (n, k, ...) for n images and labels (n, k). Received: "
            f"{images.shape}, {neighbours.shape} and {neighbour_labels.shape}"
        )
    names = [short_name(name, 12) for name in class_names]
    gap = 0.25  # inches between the image and its neighbours
    side = (WIDTH - 0.2 - gap) / (NEIGHBOURS + 1) - 0.06
    under = 0.45  # inches for two lines of text
    height = 0.75 + rows * (side + under)
    figure = new_figure(height, layout="none")
    own = as_pictures(images)
    others = as_pictures(neighbours.reshape(-1, *images.shape[1:]))
    for row in range(rows):
        for column in range(columns + 1):
            left = 0.1 + column * (side + 0.06) + (gap if column else 0)
            bottom = height - 0.7 - row * (side + under) - side
            axes = figure.add_axes((left / WIDTH, bottom / height, side / WIDTH, side / height))
            if column == 0:
                show_picture(axes, own[row])
                text = names[labels[row]]
            else:
                show_picture(axes, others[row * columns + column - 1])
                text = f"{names[neighbour_labels[row, column - 1]]}\n"
                text += f"{distances[row][column - 1]:.3g}"
                if neighbour_labels[row, column - 1] != labels[row]:
                    axes.set_axis_on()
                    axes.set(xticks=[], yticks=[])
                    axes.spines[:].set(visible=True, color=VERMILLION, linewidth=3, linestyle="--")
            axes.text(0.5, -0.04, text, transform=axes.transAxes, ha="center", va="top", fontsize=9)
            if row == 0 and column < 2:
                title = "image" if column == 0 else "nearest, with class and distance"
                axes.set_title(title, fontsize=10, pad=4)
    title = "Nearest in the last hidden layer (Euclidean distance); dashed: another class"
    figure.suptitle(title, x=0.1 / WIDTH, y=1 - 0.1 / height, ha="left", va="top", fontsize=11)
    same = (neighbour_labels == labels[:, None]).mean()
    figure.set_label(
        f"{rows} images with their {columns} nearest in the last hidden layer each; "
        f"{100 * same:.0f} % of those are of the same class."
    )
    return figure
