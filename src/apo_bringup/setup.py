import os
from glob import glob

from setuptools import find_packages, setup

# launch, config and models link to the folders at the root of the repository. From a path that leaves this package,
# `colcon build --symlink-install` would link the files into the workspace's folders of these names, over what is there.
setup(
    name="apo_bringup",
    version="0.1.0",
    packages=find_packages(),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/apo_bringup"]),
        ("share/apo_bringup", ["package.xml"]),
        ("share/apo_bringup/launch", sorted(glob("launch/*.launch.py"))),
        ("share/apo_bringup/config", sorted(filter(os.path.isfile, glob("config/*")))),
        *(
            (f"share/apo_bringup/{folder}", sorted(glob(f"{folder}/*")))
            for folder in sorted([*glob("config/arms/*"), *glob("models/*")])
        ),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="apo maintainers",
    maintainer_email="maintainers@apo.dev",
    description="Starts the nodes: launch table, process runner, demo, command line.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "apo = apo_bringup.cli:main",
        ],
    },
)
