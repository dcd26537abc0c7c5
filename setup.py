"""Builds the distribution; the .pth file beside the modules is why this is not only metadata."""

import os
import pathlib
import re

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = pathlib.Path(__file__).parent
VERSION = re.search(
    r'^VERSION = "(.+)"$', (HERE / "porter_ryu/version.py").read_text(encoding="utf-8"), re.M
)[1]


class BuildWithPth(build_py):
    """Puts the .pth next to the modules, where site-packages reads it."""

    def run(self):
        super().run()
        self.copy_file(
            "porter_ryu_compat.pth", os.path.join(self.build_lib, "porter_ryu_compat.pth")
        )


setup(
    name="porter-ryu",
    version=VERSION,
    description="A load balancer for bare-metal Kubernetes: Services in, ECMP routes out, on Ryu",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3",
    ],
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=["porter_ryu", "porter_ryu.*"]),
    package_data={"porter_ryu.http": ["page.html"]},
    py_modules=["porter_ryu_compat"],
    install_requires=(HERE / "requirements.txt").read_text().split(),
    entry_points={
        "console_scripts": ["porter-ryu = porter_ryu.cli:main"],
        "oslo.config.opts": ["porter_ryu = porter_ryu.options:list_opts"],
    },
    cmdclass={"build_py": BuildWithPth},
)
