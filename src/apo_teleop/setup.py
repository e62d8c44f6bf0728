from setuptools import find_packages, setup

setup(
    name="apo_teleop",
    version="0.1.0",
    packages=find_packages(),
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/apo_teleop"]),
        ("share/apo_teleop", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="apo maintainers",
    maintainer_email="maintainers@apo.dev",
    description="Operator devices and the arbiter between policy and operator.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "teleop_node = apo_teleop.teleop_node:main",
            "arbiter_node = apo_teleop.arbiter_node:main",
            "gripper_action_node = apo_teleop.gripper_action_node:main",
            "tip_pose_node = apo_teleop.tip_pose_node:main",
        ],
    },
)
