from setuptools import find_packages, setup

setup(
    name="apo_episodes",
    version="0.1.0",
    packages=find_packages(),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/apo_episodes"]),
        ("share/apo_episodes", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="apo maintainers",
    maintainer_email="maintainers@apo.dev",
    description="Episode files: labels, recording, reading, checks, inspection and exchange with other formats.",
    license="Apache-2.0",
)
