from setuptools import find_packages, setup

setup(
    name="apo_sim_bridge",
    version="0.1.0",
    packages=find_packages(),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/apo_sim_bridge"]),
        ("share/apo_sim_bridge", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="apo maintainers",
    maintainer_email="maintainers@apo.dev",
    description="robosuite behind the topics of a real robot.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "sim_bridge_node = apo_sim_bridge.sim_bridge_node:main",
        ],
    },
)
