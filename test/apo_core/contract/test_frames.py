"""The frame that all motion is in: whose messages count, and who names none."""

import dataclasses

from apo_core.contract.frames import Header, UnnamedFrames, frame_fault


def test_a_frame_is_the_contracts_or_the_robots_name_for_it_or_none(small_contract):
    contract = dataclasses.replace(small_contract, source="arm.yaml")
    assert [frame_fault(frame, contract) for frame in ("", "base")] == ["", ""]
    assert frame_fault("world", contract) == "has the frame 'world', must have frame_id = 'base' in arm.yaml"
    assert frame_fault("fr3_link0", contract, "fr3_link0") == ""
    assert frame_fault("world", contract, "fr3_link0") == (
        "has the frame 'world', must have frame_id = 'base' in arm.yaml, "
        "output_frame = 'fr3_link0' in config/arbiter.yaml"
    )


def test_a_topic_without_frames_is_reported_once(small_contract):
    frames = UnnamedFrames(small_contract)
    assert frames.warning("ee_pose", Header(1, "base")) == ""
    warning = "ee_pose: header.frame_id is empty, taken for 'base' of small_contract"
    assert [frames.warning("ee_pose", Header(stamp_ns)) for stamp_ns in (1, 2)] == [warning, ""]
    assert frames.warning("operator/command", Header(1)).startswith("operator/command: ")
