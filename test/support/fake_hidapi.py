"""A libhidapi that is made up, for easyhid to call: devices are plugged in, give HID reports and are pulled out."""

import contextlib

import easyhid.easyhid as hid
import pytest

MULTI_AXIS = (0x01, 0x08)


class Hidapi:
    """The C functions of libhidapi that easyhid calls; a device is plugged in, gives reports, is pulled out."""

    def __init__(self):
        self.interfaces = []  # ((vendor, product), (usage page, usage)); None: pulled out
        self.reports = []  # of the interface `reporting`
        self.reporting = 0
        self.denied = set()  # interfaces that this user may not open
        self.opened = []  # index of the interface, each time
        self.held = []  # those that are open now
        self._kept = []  # memory that C code would own

    def plug(self, ids, usages=(MULTI_AXIS,)):
        self.reports.clear()
        self.interfaces, self.reporting = [], 0
        self.add(ids, usages)

    def add(self, ids, usages=(MULTI_AXIS,)):
        """Beside what is plugged in already."""
        self.interfaces += [(ids, usage) for usage in usages]

    def unplug(self):
        self.interfaces = []

    def pull(self, number):
        """One interface alone."""
        self.interfaces[number] = None

    def report(self, number, *reports):
        """From one interface; those before must have been read."""
        assert not self.reports
        self.reporting, self.reports = number, list(reports)

    def hid_enumerate(self, vendor, product):
        assert (vendor, product) == (0, 0)
        head = hid.ffi.NULL
        for number, interface in reversed(list(enumerate(self.interfaces))):
            if interface is None:
                continue
            (vendor_id, product_id), (page, usage) = interface
            text = [hid.ffi.new("wchar_t[]", word) for word in ("3Dconnexion", "puck", "")]
            path = hid.ffi.new("char[]", b"/dev/hidraw%d" % number)
            info = hid.ffi.new(
                "struct hid_device_info *",
                {
                    "path": path,
                    "vendor_id": vendor_id,
                    "product_id": product_id,
                    "manufacturer_string": text[0],
                    "product_string": text[1],
                    "serial_number": text[2],
                    "usage_page": page,
                    "usage": usage,
                    "next": head,
                },
            )
            self._kept += [info, path, *text]
            head = info
        return head

    def hid_free_enumeration(self, head):
        pass

    def hid_open_path(self, path):
        number = int(path.decode()[-1])
        if number in self.denied:
            return hid.ffi.NULL
        self.opened.append(number)
        self.held.append(number)
        return hid.ffi.cast("hid_device *", number + 1)

    def hid_set_nonblocking(self, device, enable):
        assert enable
        return 0

    def hid_read(self, device, data, length):
        """As hidraw: what waits first, then -1 if the device is gone, else 0; a report longer than asked for is cut."""
        number = int(hid.ffi.cast("intptr_t", device)) - 1
        if not self.reports or number != self.reporting:
            return 0 if number < len(self.interfaces) and self.interfaces[number] else -1
        report = self.reports.pop(0)[:length]
        hid.ffi.memmove(data, report, len(report))
        return len(report)

    def hid_close(self, device):
        self.held.remove(int(hid.ffi.cast("intptr_t", device)) - 1)


@contextlib.contextmanager
def made_up_hidapi():
    port, devices, really_open = Hidapi(), [], hid.HIDDevice.open

    def open_and_keep(device):
        devices.append(device)
        really_open(device)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hid, "hidapi", port)
        patch.setattr(hid.HIDDevice, "open", open_and_keep)
        try:
            yield port
        finally:  # one that is collected later would close itself with the real library
            for device in devices:
                device.close()
