/* A libhidapi-hidraw.so.0 without a USB port: what is plugged in and what it reports are files in $FAKE_HID.
 *
 * plugged: "vendor product" in hexadecimal; missing: nothing is plugged in.
 * reports: records of 16 bytes, the length of a report and the report; those present at the opening are skipped.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define RECORD 16

struct hid_device_info {
  char *path;
  unsigned short vendor_id, product_id;
  wchar_t *serial_number;
  unsigned short release_number;
  wchar_t *manufacturer_string, *product_string;
  unsigned short usage_page, usage;
  int interface_number;
  struct hid_device_info *next;
};

typedef struct hid_device_ {
  FILE *reports;
} hid_device;

static FILE *open_file(const char *name) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", getenv("FAKE_HID"), name);
  return fopen(path, "rb");
}

static int plugged(unsigned *vendor, unsigned *product) {
  FILE *file = open_file("plugged");
  int found = file != NULL && fscanf(file, "%x %x", vendor, product) == 2;
  if (file != NULL) fclose(file);
  return found;
}

struct hid_device_info *hid_enumerate(unsigned short any_vendor, unsigned short any_product) {
  unsigned vendor, product;
  if (any_vendor || any_product || !plugged(&vendor, &product)) return NULL;
  struct hid_device_info *info = calloc(1, sizeof *info);
  info->path = "/dev/hidraw0";
  info->vendor_id = vendor;
  info->product_id = product;
  info->serial_number = info->manufacturer_string = info->product_string = L"";
  info->usage_page = 1;
  info->usage = 8;
  return info;
}

void hid_free_enumeration(struct hid_device_info *info) { free(info); }

hid_device *hid_open_path(const char *path) {
  unsigned vendor, product;
  FILE *file = strcmp(path, "/dev/hidraw0") == 0 && plugged(&vendor, &product) ? open_file("reports") : NULL;
  if (file == NULL) return NULL;
  fseek(file, 0, SEEK_END);
  hid_device *device = malloc(sizeof *device);
  device->reports = file;
  return device;
}

int hid_set_nonblocking(hid_device *device, int nonblock) { return device != NULL && nonblock ? 0 : -1; }

int hid_read(hid_device *device, unsigned char *data, size_t length) {
  unsigned vendor, product;
  unsigned char record[RECORD];
  if (!plugged(&vendor, &product)) return -1;
  clearerr(device->reports);
  if (fread(record, 1, RECORD, device->reports) != RECORD) return 0;
  size_t size = record[0] < length ? record[0] : length;
  memcpy(data, record + 1, size);
  return (int)size;
}

void hid_close(hid_device *device) {
  fclose(device->reports);
  free(device);
}
