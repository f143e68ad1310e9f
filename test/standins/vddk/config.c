/* The file given to InitEx: `name=value` lines. Keys that nobody has documented are logged (docs/development/vddk.md#config-file). */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "standin.h"

static const char *const KNOWN[] = {
  "tmpDirectory",
  "vixDiskLib.transport.LogLevel",
  "vixDiskLib.nfc.LogLevel",
  "vixDiskLib.nfc.AcceptTimeoutMs",
  "vixDiskLib.nfc.RequestTimeoutMs",
  "vixDiskLib.nfc.ReadTimeoutMs",
  "vixDiskLib.nfc.WriteTimeoutMs",
  "vixDiskLib.nfcFssrvr.TimeoutMs",
  "vixDiskLib.nfcFssrvrWrite.TimeoutMs",
  "vixDiskLib.nfcAio.Session.BufSizeIn64KB",
  "vixDiskLib.nfcAio.Session.BufCount",
};
static const uint64_t MOST_AIO_BYTES = 16u << 20;

static uint64_t bufferSizeIn64KB = 1, bufferCount = 4;

static bool is_known(const char *name) {
  for (size_t i = 0; i < sizeof KNOWN / sizeof *KNOWN; i++)
    if (strcmp(name, KNOWN[i]) == 0) return true;
  return false;
}

static VixError take_line(char *line) {
  line[strcspn(line, "\r\n")] = 0;
  if (*line == 0 || *line == '#') return VIX_OK;
  char *equals = strchr(line, '=');
  if (!equals || equals == line) {
    log_warning("config: no name=value: %s", line);
    return VIX_E_SUBSYSTEM_INIT_FAIL;
  }
  *equals = 0;
  if (!is_known(line)) log_warning("config: unknown name %s", line);
  if (strcmp(line, "vixDiskLib.nfcAio.Session.BufSizeIn64KB") == 0) bufferSizeIn64KB = strtoull(equals + 1, NULL, 10);
  if (strcmp(line, "vixDiskLib.nfcAio.Session.BufCount") == 0) bufferCount = strtoull(equals + 1, NULL, 10);
  return VIX_OK;
}

VixError read_config(const char *path) {
  if (!path) return VIX_OK;
  FILE *file = fopen(path, "re");
  if (!file) {
    log_warning("config: cannot read %s: %m", path);
    return VIX_E_SUBSYSTEM_INIT_FAIL;
  }
  char line[1024];
  VixError error = VIX_OK;
  while (error == VIX_OK && fgets(line, sizeof line, file)) error = take_line(line);
  fclose(file);
  return error;
}

bool config_asks_too_much(void) { return bufferSizeIn64KB * 65536 * bufferCount > MOST_AIO_BYTES; }
