"""Network in Network on CIFAR-100, without augmentation.

Paper: Lin, Chen, Yan, "Network in Network" (2013), table 2: 35.68 % test error.
Command: python -m tfcnns.train --recipe=nin_cifar100 --data_dir=DATA --out=runs/nin_cifar100
Cost: 984,356 parameters, 260 epochs of 391 steps; 13 hours on 2 CPU cores at 280 images a second.
Expected: 35.68 % test error.

The recipe `nin_cifar10` with 100 class maps and the constants of the authors' file for CIFAR-100,
which has others than that for CIFAR-10: smaller initial weights in the first stage, a rate of .02
for all layers (.01, times a loss counted twice), a decay of 5e-4 (1e-3).

Not known to train: on whitened photographs the file's smaller weights make class maps of at most
.00004 in the beginning, a thousandth of those of CIFAR-10, and the first update moves their biases
by ten times that. Such weights would suit pixels of 0 to 255, but the authors' README says that
these images are whitened, too. A line says in the first epochs when class maps have died;
`nin_cifar10` says what helps.

Differs from the paper: it says that the settings are those for CIFAR-10; their file is followed.
"""

from tfcnns import models
from tfcnns.recipes import nin_cifar10 as base

PAPER = {
    "paper": "Network in Network (Lin 2013)",
    "table": "2",
    "number": "35.68 % test error",
    "parameters": 984_356,
}

NAMES = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
    butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
    crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
    keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain
    mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain
    plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
    skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
    television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
CLASS_NAMES = tuple(NAMES.split())

data, view = base.data, base.view


def config():
    return {
        **base.config(),
        "learning_rate": 0.02,
        "weight_decay": 5e-4,
        "data": "cifar100",
        "class_names": CLASS_NAMES,
    }


def model(config):
    return models.nin_cifar100(**base.net(config), preprocessing=base.preprocessing(config))


def compile(model, config):
    return base.compile_with(model, config, multipliers={"bias": 2.0})
