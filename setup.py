"""Everything about the package itself; pyproject.toml holds the settings of the tools.

Why each dependency is here: docs/dependencies.md.
"""

import ast
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).resolve().parent


def version():
    """`__version__` of tfcnns/__init__.py, read without importing anything of it."""
    source = (HERE / "tfcnns" / "__init__.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "__version__":
            return ast.literal_eval(node.value)
    raise ValueError("tfcnns/__init__.py has no line `__version__ = ...`.")


def long_description():
    readme = HERE / "README.md"
    return readme.read_text(encoding="utf-8") if readme.exists() else ""


TEST = [
    "pytest>=9.0",
    "pytest-cov>=6.0",
    "ruff>=0.14",
    "jax>=0.7",
    "pydot>=3.0",
    "setuptools>=70.1",
    "pip>=23.1",
]

setup(
    name="tfcnns",
    version=version(),
    description="AlexNet, Maxout, Network in Network and OverFeat as Keras 3 layers and recipes",
    long_description=long_description(),
    long_description_content_type="text/markdown",
    author="The tfcnns authors",
    license="MIT",
    license_files=["LICENSE"],
    classifiers=[
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Operating System :: MacOS",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
    # Keras 3.15 begins at Python 3.11, TensorFlow 2.21 ends at 3.13.
    python_requires=">=3.11,<3.14",
    install_requires=[
        "tensorflow==2.21.*",
        "keras>=3.15.1,<4",
        "tensorflow-datasets>=4.9.9",
        "keras-cv==0.9.*",
        "tensorboard>=2.20,<3",
        "absl-py>=2.1",
        "numpy>=1.26",
        "scikit-learn>=1.5",
        "matplotlib>=3.10.7",
        "pillow>=11.3",
        "pycocotools>=2.0.8",
        "importlib_resources>=5",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]==2.21.*"],
        "test": TEST,
        "peers": ["torch>=2.9,<2.14"],
        "export": ["tf2onnx>=1.17", "onnx>=1.18", "onnxruntime>=1.22", "ai-edge-litert>=2.0"],
        "dev": [*TEST, "build>=1.2"],
    },
    # layers/ and pipelines/ stand at the top of the repository and are imported below tfcnns.
    # The links of that name inside tfcnns/ serve a bare checkout; nothing built depends on them.
    package_dir={
        "tfcnns": "tfcnns",
        "tfcnns.layers": "layers",
        "tfcnns.pipelines": "pipelines",
    },
    packages=[
        "tfcnns",
        "tfcnns.detection",
        "tfcnns.export",
        "tfcnns.layers",
        "tfcnns.models",
        "tfcnns.pipelines",
        "tfcnns.plots",
        "tfcnns.recipes",
        "tfcnns.training",
    ],
    package_data={"tfcnns.pipelines": ["imagenet_classes.txt"]},
    entry_points={
        "console_scripts": [
            "tfcnns-detect = tfcnns.detect:run",
            "tfcnns-data-service = tfcnns.data_service:run",
            "tfcnns-evaluate = tfcnns.evaluate:run",
            "tfcnns-export = tfcnns.export.__main__:run",
            "tfcnns-features = tfcnns.features:run",
            "tfcnns-launch = tfcnns.launch:run",
            "tfcnns-plot = tfcnns.plot:run",
            "tfcnns-predict = tfcnns.predict:run",
            "tfcnns-train = tfcnns.train:run",
        ]
    },
    zip_safe=False,
)
