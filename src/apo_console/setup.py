from setuptools import find_packages, setup

setup(
    name="apo_console",
    version="0.1.0",
    packages=find_packages(),
    package_data={"apo_console": ["static/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/apo_console"]),
        ("share/apo_console", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    maintainer="apo maintainers",
    maintainer_email="maintainers@apo.dev",
    description="The operator's console in the browser: see, take over, judge.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "console_node = apo_console.console_node:main",
            "foxglove_node = apo_console.viewers.foxglove_node:main",
            "rerun_node = apo_console.viewers.rerun_node:main",
        ],
    },
)
