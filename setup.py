"""Names, extras and entry points of the three packages. Imports nothing heavy; tools: see pyproject.toml."""

from pathlib import Path

from setuptools import find_namespace_packages, setup

ROOT = Path(__file__).resolve().parent

# top-level package -> the folder that holds it, relative to this file
PACKAGE_DIRS = {
    "ganinv_ops": "ops/ganinv_ops",
    "ganinv": "ganinv",
    "plugin_ganinpaint": "plugin_ganinpaint",
}

INSTALL = [
    "torch>=2.6",
    "numpy>=1.26",
    "pillow>=10",
    "click>=8.1",
    "rich>=13",
    "safetensors>=0.4",
    "ninja>=1.11",
    "psutil>=5.9",
    "pyyaml>=6",
    "opencv-python-headless>=4.8",
    "setuptools>=70",  # torch.utils.cpp_extension imports it when the ops are compiled
]

EXTRAS = {
    "align": ["dlib-bin>=19.24", "face_recognition_models>=0.3"],
    "train": ["lightning-fabric>=2.4", "scikit-learn>=1.4", "tensorboard>=2.16"],
    "evaluate": ["markdown>=3.5", "matplotlib>=3.8", "scikit-learn>=1.4", "torchmetrics>=1.4"],
    "app": ["gradio>=6.20"],
    "test": [
        "playwright>=1.48",
        "pytest>=8",
        "pytest-timeout>=2.3",
        "pytest-xdist>=3.6",
        "hypothesis>=6.100",
        "ruff>=0.6",
        "mypy>=1.11",
        "types-PyYAML>=6",
        "scipy>=1.11",
        "scikit-image>=0.24",  # for the one photograph the tests know
    ],
}
EXTRAS["all"] = sorted({requirement for group in EXTRAS.values() for requirement in group})


def packages() -> list[str]:
    """Every importable package below the three roots: a folder counts when it holds an __init__.py."""
    found = []
    for name, folder in PACKAGE_DIRS.items():
        root = ROOT / folder
        found.append(name)
        for dotted in find_namespace_packages(where=str(root)):
            if (root / dotted.replace(".", "/") / "__init__.py").is_file():
                found.append(f"{name}.{dotted}")
    return found


def version() -> str:
    """The one place that states the version is ganinv/__init__.py; read it without importing the package."""
    for line in (ROOT / "ganinv" / "__init__.py").read_text(encoding="utf-8").splitlines():
        if line.startswith("__version__"):
            return line.split('"')[1]
    raise RuntimeError('ganinv/__init__.py must hold a line: __version__ = "X.Y.Z"')


setup(
    name="ganinv",
    version=version(),
    description="GAN inversion toolkit: erase part of a picture, get several completions, edit them",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    package_dir=PACKAGE_DIRS,
    packages=packages(),
    package_data={
        "ganinv_ops": ["csrc/*", "py.typed"],
        "ganinv": [
            "app/*.css",
            "app/*.html",
            "app/*.js",
            "bundled/*.safetensors",
            "configs/*.yaml",
            "py.typed",
        ],
        "plugin_ganinpaint": ["bundled/*.safetensors", "configs/*.yaml", "py.typed"],
    },
    install_requires=INSTALL,
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": ["ganinv = ganinv.cli.main:main"],
        "ganinv.methods": ["diverse-inpaint = plugin_ganinpaint.method:build"],
        "ganinv.completers": ["comod = plugin_ganinpaint.comod.completer:build"],
        "ganinv.trainers": [
            "comod = plugin_ganinpaint.training.entry:train_comod",
            "diverse-inpaint = plugin_ganinpaint.training.entry:train",
            "e4e = plugin_ganinpaint.training.entry:train_e4e",
            "psp = plugin_ganinpaint.training.entry:train_psp",
        ],
    },
)
