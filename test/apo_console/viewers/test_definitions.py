from apo_console.viewers.definitions import definition


def message(**fields: str) -> type:
    return type("Message", (), {"get_fields_and_field_types": classmethod(lambda cls: fields)})


def test_a_definition_has_every_type_inside_it_once():
    classes = {
        "arm_msgs/msg/Path": message(
            header="std_msgs/Header", points="sequence<arm_msgs/Point>", last="arm_msgs/Point"
        ),
        "arm_msgs/msg/Point": message(x="double", stamp="builtin_interfaces/Time"),
        "std_msgs/msg/Header": message(stamp="builtin_interfaces/Time", frame_id="string"),
        "builtin_interfaces/msg/Time": message(sec="int32", nanosec="uint32"),
    }
    line = "=" * 80
    assert definition("arm_msgs/msg/Path", classes.__getitem__) == (
        "std_msgs/Header header\narm_msgs/Point[] points\narm_msgs/Point last\n"
        f"{line}\nMSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n"
        f"{line}\nMSG: arm_msgs/Point\nfloat64 x\nbuiltin_interfaces/Time stamp\n"
        f"{line}\nMSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n"
    )


def test_field_types_are_written_as_in_msg_files():
    fields = {
        "boolean": "bool",
        "octet": "byte",
        "float": "float32",
        "uint8": "uint8",
        "double[36]": "float64[36]",
        "sequence<float>": "float32[]",
        "sequence<int64, 4>": "int64[<=4]",
        "string<10>": "string<=10",
        "sequence<string<10>, 2>": "string<=10[<=2]",
        "wstring": "wstring",
    }
    named = {f"f{i}": kind for i, kind in enumerate(fields)}
    text = definition("arm_msgs/msg/All", {"arm_msgs/msg/All": message(**named)}.__getitem__)
    assert text.splitlines() == [f"{written} f{i}" for i, written in enumerate(fields.values())]
